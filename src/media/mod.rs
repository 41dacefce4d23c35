//! What a file is and what it should be called: types from bytes, names that agree with them.
