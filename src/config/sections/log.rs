//! `[log]`: what is logged, and in what form.

use crate::config::schema::rules::log_filter;
use crate::config::schema::section;
use crate::config::schema::value::named_values;
use crate::telemetry::logging::LogFormat;

named_values! { LogFormat }

section! {
    /// What is logged, and in what form.
    LogSection as "log" {
        /// The form of the log: json or text.
        format: Option<LogFormat> => "json; text on a terminal";
        /// What is logged, as directives such as `info,asset_gateway=debug`.
        filter: String = "info" where log_filter;
    }
}
