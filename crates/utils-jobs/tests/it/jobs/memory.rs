use utils_jobs::{Jobs, JobsBuilder};
use utils_testing::{job_backend_contract, jobs::JobBackend};

struct Memory;

impl JobBackend for Memory {
    fn open(&self, builder: JobsBuilder) -> Jobs {
        builder.open("memory:").unwrap()
    }
}

job_backend_contract!(Memory);
super::rules::rules!(Memory);
super::flow::cases!(Memory);
