//! The embedded eGain stand-in.
