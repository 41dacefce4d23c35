//! Lists in pages, where a caller requests pages.

use http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::reply::ApiRefusal;

/// As eGain's other APIs name them.
pub(super) const PARAMETERS: &[&str] = &["$pagenum", "$pagesize", "pagenum", "pagesize"];

const LARGEST: usize = 250;

/// One page, counted from 1; without a size all is one page that wasn't requested.
pub(super) struct PageRequest {
    number: usize,
    size: Option<usize>,
}

impl PageRequest {
    pub(super) fn from_uri(uri: &Uri) -> Result<Self, ApiRefusal> {
        let mut page = Self {
            number: 1,
            size: None,
        };
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        {
            let number = value
                .parse()
                .ok()
                .filter(|number| (1..=LARGEST).contains(number))
                .ok_or_else(|| {
                    ApiRefusal::new(
                        StatusCode::BAD_REQUEST,
                        "400-152",
                        "a query parameter has an invalid value",
                    )
                    .detail("attribute", &*name)
                })?;
            match name.trim_start_matches('$') {
                "pagenum" => page.number = number,
                _ => page.size = Some(number),
            }
        }
        Ok(page)
    }

    /// The reply's body: the list under `key`, which is singular.
    pub(super) fn of(&self, key: &str, all: Vec<Value>) -> Value {
        let Some(size) = self.size else {
            return json!({key: all});
        };
        let count = all.len();
        let part: Vec<_> = all
            .into_iter()
            .skip((self.number - 1) * size)
            .take(size)
            .collect();
        let info = json!({"count": count, "pagenum": self.number, "pagesize": size});
        json!({key: part, "paginationInfo": info})
    }
}
