//! `[log]`: what is told, and in what form.

use crate::config::schema::rules::log_filter;
use crate::config::schema::section;
use crate::config::schema::value::words;
use crate::telemetry::logging::LogFormat;

words! {
    LogFormat {
        Json = "json",
        Text = "text",
    }
}

section! {
    /// What is told, and in what form.
    LogSection as "log" {
        /// The form of the log: json or text.
        format: Option<LogFormat> => "json; text on a terminal";
        /// What is told, as directives such as `info,asset_gateway=debug`.
        filter: String = "info" where log_filter;
    }
}
