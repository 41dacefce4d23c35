//! Bodies in, bodies out: adapters over `http_body::Body`, one a file.

pub mod multipart;
