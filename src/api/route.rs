//! Which route a request means.
//!
//! A route is one row of [`ROUTES`]; `Allow`, the metrics' label and the documents' table follow
//! from it. What it does is `ApiState::respond`.

use http::header::ALLOW;
use http::{HeaderValue, Method};

use super::problem::ErrorResponse;
use super::try_page::{INDEX, PageOperation};
use crate::types::account::{AccountId, ChannelId};
use crate::types::asset::AssetId;
use crate::types::caller::Permission;
use crate::types::error::{Error, ErrorCode, Stage};

/// What a request is for, with the id in its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiOperation {
    /// What the page of `dev` asks for.
    Page(PageOperation),
    /// Stores a file.
    Upload,
    /// What eGain knows of an asset.
    Metadata(AssetId),
    /// The headers of an asset's bytes.
    ContentHead(AssetId),
    /// An asset's bytes.
    Content(AssetId),
    /// Deletes an asset.
    Delete(AssetId),
    /// A page of accounts.
    ListAccounts,
    /// Creates an account.
    CreateAccount,
    /// One account.
    Account(AccountId),
    /// Replaces an account.
    ReplaceAccount(AccountId),
    /// Deletes an account.
    DeleteAccount(AccountId),
    /// A page of channels.
    ListChannels,
    /// One channel.
    Channel(ChannelId),
    /// What the caller may send.
    Limits,
    /// How a request arrives.
    Probe,
}

/// One route.
struct Route {
    template: &'static str,
    methods: &'static [Method],
    /// What the caller must be allowed to do.
    permission: Permission,
    /// The operation on the id, or the file's name, of the path, which is empty where there is
    /// none; none if it can't be an id.
    operation: fn(&str) -> Option<ApiOperation>,
}

const fn route(
    template: &'static str,
    methods: &'static [Method],
    permission: Permission,
    operation: fn(&str) -> Option<ApiOperation>,
) -> Route {
    Route {
        template,
        methods,
        permission,
        operation,
    }
}

const READ: &[Method] = &[Method::GET, Method::HEAD];
/// Where the page's files begin.
const PAGE: &str = "/_try/";
const PAGE_FAULTS: &str = "/_try/faults";
const ASSET: &str = "/v1/assets/{id}";
const CONTENT: &str = "/v1/assets/{id}/content";
const ACCOUNTS: &str = "/v1/accounts";
const ACCOUNT: &str = "/v1/accounts/{id}";

/// The data listener's routes. Rows of one template stand together, in the order of `Allow`.
static ROUTES: [Route; 20] = {
    use ApiOperation as Op;
    use Permission::{Delete, Manage, Read, Upload};
    [
        route("/", READ, Manage, |_| {
            Some(Op::Page(PageOperation::File(INDEX.to_owned())))
        }),
        route("/_try/{file}", READ, Manage, |name| {
            Some(Op::Page(PageOperation::File(name.to_owned())))
        }),
        route("/_try/metrics", READ, Manage, |_| {
            Some(Op::Page(PageOperation::Metrics))
        }),
        route("/_try/sandbox", READ, Manage, |_| {
            Some(Op::Page(PageOperation::Sandbox))
        }),
        route(PAGE_FAULTS, &[Method::POST], Manage, |_| {
            Some(Op::Page(PageOperation::AddFaults))
        }),
        route(PAGE_FAULTS, &[Method::DELETE], Manage, |_| {
            Some(Op::Page(PageOperation::ClearFaults))
        }),
        route("/v1/assets", &[Method::POST], Upload, |_| Some(Op::Upload)),
        route(ASSET, READ, Read, |id| AssetId::parse(id).map(Op::Metadata)),
        route(ASSET, &[Method::DELETE], Delete, |id| {
            AssetId::parse(id).map(Op::Delete)
        }),
        route(CONTENT, &[Method::GET], Read, |id| {
            AssetId::parse(id).map(Op::Content)
        }),
        route(CONTENT, &[Method::HEAD], Read, |id| {
            AssetId::parse(id).map(Op::ContentHead)
        }),
        route(ACCOUNTS, READ, Manage, |_| Some(Op::ListAccounts)),
        route(ACCOUNTS, &[Method::POST], Manage, |_| {
            Some(Op::CreateAccount)
        }),
        route(ACCOUNT, READ, Manage, |id| {
            AccountId::parse(id).map(Op::Account)
        }),
        route(ACCOUNT, &[Method::PUT], Manage, |id| {
            AccountId::parse(id).map(Op::ReplaceAccount)
        }),
        route(ACCOUNT, &[Method::DELETE], Manage, |id| {
            AccountId::parse(id).map(Op::DeleteAccount)
        }),
        route("/v1/channels", READ, Manage, |_| Some(Op::ListChannels)),
        route("/v1/channels/{id}", READ, Manage, |id| {
            ChannelId::parse(id).map(Op::Channel)
        }),
        route("/v1/limits", READ, Read, |_| Some(Op::Limits)),
        route("/v1/probe", &[Method::POST], Read, |_| Some(Op::Probe)),
    ]
};

/// Templates and the methods they take, as `Allow` names them: for documents and the tests that
/// compare them.
pub fn routes() -> impl Iterator<Item = (&'static str, String)> {
    let rows = ROUTES.chunk_by(|a, b| a.template == b.template);
    rows.map(|rows| (rows[0].template, allowed(rows)))
}

fn allowed(rows: &[Route]) -> String {
    let methods = rows.iter().flat_map(|row| row.methods);
    methods.map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// The route of a request.
#[derive(Debug)]
pub struct MatchedRoute {
    /// The template, as a label.
    pub template: &'static str,
    /// What the caller must be allowed to do.
    pub permission: Permission,
    /// What the request is for.
    pub operation: ApiOperation,
}

impl MatchedRoute {
    /// The asset that its path names.
    pub const fn asset(&self) -> Option<&AssetId> {
        match &self.operation {
            ApiOperation::Metadata(id)
            | ApiOperation::ContentHead(id)
            | ApiOperation::Content(id)
            | ApiOperation::Delete(id) => Some(id),
            _ => None,
        }
    }
}

/// Finds routes: a template's rows by path.
pub(super) struct ApiRouter(matchit::Router<&'static [Route]>);

impl ApiRouter {
    /// The data listener's routes; `/` and what belongs to it only where there is a page.
    pub(super) fn new(has_page: bool) -> Self {
        let mut router = matchit::Router::new();
        for rows in ROUTES.chunk_by(|a, b| a.template == b.template) {
            let template = rows[0].template;
            if has_page || !is_of_page(template) {
                router
                    .insert(template, rows)
                    .expect("the table has no conflicts");
            }
        }
        Self(router)
    }

    /// `not-found` for a path that is none, or an id that can't be one; `method-not-allowed` for
    /// another method.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<MatchedRoute, ErrorResponse> {
        let Ok(found) = self.0.at(path) else {
            return Err(missing(
                "there is no such route: see docs/callers.md for the routes",
            ));
        };
        let rows = *found.value;
        let Some(row) = rows.iter().find(|row| row.methods.contains(method)) else {
            return Err(other_method(&allowed(rows)));
        };
        let id = found.params.iter().next().map_or("", |(_, value)| value);
        let Some(operation) = (row.operation)(id) else {
            return Err(missing(
                "this can't be an id: ids are 1 to 255 of A-Z a-z 0-9 . _ -",
            ));
        };
        Ok(MatchedRoute {
            template: row.template,
            permission: row.permission,
            operation,
        })
    }
}

/// Whether a template is the page's.
fn is_of_page(template: &str) -> bool {
    template == "/" || template.starts_with(PAGE)
}

fn missing(detail: &'static str) -> ErrorResponse {
    Error::caller(ErrorCode::NotFound, Stage::Admit, detail).into()
}

/// RFC 9110 section 15.5.6 requires `Allow`.
fn other_method(allowed: &str) -> ErrorResponse {
    let detail = format!("this route takes these methods only: {allowed}");
    let value = HeaderValue::from_str(allowed).expect("names of methods are visible ASCII");
    ErrorResponse {
        error: Error::caller(ErrorCode::MethodNotAllowed, Stage::Admit, detail),
        header: Some((ALLOW, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: Method, path: &str) -> Result<ApiOperation, ErrorCode> {
        match ApiRouter::new(false).find(&method, path) {
            Ok(matched) => Ok(matched.operation),
            Err(refusal) => Err(refusal.error.code()),
        }
    }

    #[test]
    fn every_route_is_found() {
        let id = || AssetId::parse("a-1").unwrap();
        assert_eq!(find(Method::POST, "/v1/assets"), Ok(ApiOperation::Upload));
        assert_eq!(
            find(Method::GET, "/v1/assets/a-1"),
            Ok(ApiOperation::Metadata(id()))
        );
        assert_eq!(
            find(Method::HEAD, "/v1/assets/a-1/content"),
            Ok(ApiOperation::ContentHead(id()))
        );
        assert_eq!(
            find(Method::DELETE, "/v1/assets/a-1"),
            Ok(ApiOperation::Delete(id()))
        );
    }

    #[test]
    fn what_is_no_route_or_no_id_isnt_found() {
        for path in [
            "/",
            "/v1/assets/",
            "/v1/assets/..",
            "/v1/assets/%2e%2e",
            "/v1/assets/a%2Fb/content",
            "/v1/assets/a/b/c",
        ] {
            assert_eq!(find(Method::GET, path), Err(ErrorCode::NotFound), "{path}");
        }
        assert_eq!(
            find(Method::PUT, "/v1/assets"),
            Err(ErrorCode::MethodNotAllowed)
        );
    }

    #[test]
    fn allow_names_every_method_of_a_template_in_order() {
        for (template, methods) in [
            ("/v1/assets/{id}", "GET, HEAD, DELETE"),
            ("/v1/assets/{id}/content", "GET, HEAD"),
            ("/v1/accounts", "GET, HEAD, POST"),
            ("/v1/accounts/{id}", "GET, HEAD, PUT, DELETE"),
        ] {
            let found = routes().find(|(each, _)| *each == template);
            assert_eq!(found, Some((template, methods.to_owned())));
        }
    }

    #[test]
    fn rows_of_one_template_stand_together() {
        let mut templates: Vec<_> = routes().map(|(template, _)| template).collect();
        let all = templates.len();
        templates.sort_unstable();
        templates.dedup();
        assert_eq!(templates.len(), all);
    }
}
