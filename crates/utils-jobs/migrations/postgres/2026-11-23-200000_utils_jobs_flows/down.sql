DROP TABLE utils_jobs_next;
DELETE FROM utils_jobs WHERE state = 7;
ALTER TABLE utils_jobs DROP COLUMN input;
ALTER TABLE utils_jobs DROP COLUMN has_next;
ALTER TABLE utils_jobs DROP COLUMN waits_for;
