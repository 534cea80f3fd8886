DROP INDEX utils_jobs_blocked;
