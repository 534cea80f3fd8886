-- utils_jobs_waiting begins with the state and the queue already; the other databases need an index here.
DO 0;
