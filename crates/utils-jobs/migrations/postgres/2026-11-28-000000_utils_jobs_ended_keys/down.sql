ALTER TABLE utils_jobs DROP COLUMN ended_key;
