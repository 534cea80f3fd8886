//! Which release is running: from a file, the environment or the build; never fails.
