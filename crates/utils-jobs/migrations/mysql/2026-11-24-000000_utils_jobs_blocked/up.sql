-- utils_jobs_by_state begins with the state already; the other databases need an index here.
DO 0;
