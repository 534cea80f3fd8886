-- Counts the jobs that wait for others without looking at all the rest.
CREATE INDEX utils_jobs_blocked ON utils_jobs (queue) WHERE state = 7;
