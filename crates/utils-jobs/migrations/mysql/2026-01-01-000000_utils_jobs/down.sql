DROP TABLE utils_jobs_workers;
DROP TABLE utils_jobs_schedules;
DROP TABLE utils_jobs_queues;
DROP TABLE utils_jobs;
