//! Typed settings from defaults, a file and the environment, every problem reported at once; URLs with parts replaced.
