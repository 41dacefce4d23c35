//! A file's size from the size of the form around it.

use crate::body::multipart::boundary::Boundary;

/// The size in bytes of a form's last part, from the request's `Content-Length` and the offset of
/// the part's first data byte.
///
/// Behind the file it takes off the boundary and 8 bytes: `\r\n--` before it, `--\r\n` after it.
/// That is a guess until the end is seen: a part after the file, padding, an epilogue or a missing
/// last CRLF, all well-formed, make it wrong. Ask [`ended_as_assumed`](super::Parser::ended_as_assumed)
/// in the end.
///
/// `None` when nothing is left for the file: then the form ends otherwise, or the file is empty.
pub fn derived_size(content_length: u64, file_start: u64, boundary: &Boundary) -> Option<u64> {
    content_length.checked_sub(file_start)?.checked_sub(framing_after_file(boundary.as_str().len())).filter(|&size| size > 0)
}

/// `\r\n--`, the boundary and `--\r\n`, in bytes.
pub(super) fn framing_after_file(boundary_len: usize) -> u64 {
    boundary_len as u64 + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_what_the_framing_leaves() {
        let boundary = Boundary::from_content_type("multipart/form-data; boundary=bound").unwrap();
        assert_eq!(derived_size(100 + 1 + 13, 100, &boundary), Some(1));
        assert_eq!(derived_size(100 + 13, 100, &boundary), None);
        assert_eq!(derived_size(100 + 12, 100, &boundary), None);
        assert_eq!(derived_size(99, 100, &boundary), None);
        assert_eq!(derived_size(u64::MAX, 0, &boundary), Some(u64::MAX - 13));
    }
}
