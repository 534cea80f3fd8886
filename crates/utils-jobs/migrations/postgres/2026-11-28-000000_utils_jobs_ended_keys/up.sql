-- The unique key of a job that has ended: it is free for others, and taken again when the job is requeued.
ALTER TABLE utils_jobs ADD COLUMN ended_key TEXT;
