//! Nothing is here: the tests beside it run the shell's own files on loom's threads.
