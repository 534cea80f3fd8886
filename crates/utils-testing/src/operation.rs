use std::borrow::Cow;

use actix_web::http::Method;

/// Something that can be done with a resource: a column of [`Privileges`](crate::Privileges).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub(crate) name: Cow<'static, str>,
    pub(crate) method: Method,
    /// Below the endpoint.
    pub(crate) path: Cow<'static, str>,
}

impl Operation {
    /// GET of the endpoint.
    pub const LIST: Self = Self::fixed("list", Method::GET, "");
    /// GET of an object.
    pub const GET: Self = Self::fixed("get", Method::GET, "/{id}");
    /// POST to the endpoint, with the body.
    pub const POST: Self = Self::fixed("post", Method::POST, "");
    /// PUT of an object, with the body.
    pub const PUT: Self = Self::fixed("put", Method::PUT, "/{id}");
    /// PATCH of an object, with the body.
    pub const PATCH: Self = Self::fixed("patch", Method::PATCH, "/{id}");
    /// DELETE of an object.
    pub const DELETE: Self = Self::fixed("delete", Method::DELETE, "/{id}");

    /// An operation of your own, such as `("publish", Method::POST, "/{id}/publish")`; the path begins below the endpoint.
    pub fn new(name: impl Into<String>, method: Method, path: impl Into<String>) -> Self {
        Self { name: Cow::Owned(name.into()), method, path: Cow::Owned(path.into()) }
    }

    const fn fixed(name: &'static str, method: Method, path: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), method, path: Cow::Borrowed(path) }
    }

    pub(crate) fn has_object(&self) -> bool {
        self.path.contains("{id}")
    }

    pub(crate) fn sends_body(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH].contains(&self.method)
    }

    /// Whether this is `method` on `path` of an OpenAPI document, whatever the parameters are called there.
    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        let segments = |path: &str| -> Vec<String> {
            let parameter = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
            let segments = path.split('/').filter(|segment| !segment.is_empty());
            segments
                .map(|segment| if parameter(segment) { "{}".to_owned() } else { segment.to_owned() })
                .collect()
        };
        self.method.as_str().eq_ignore_ascii_case(method) && segments(&self.path) == segments(path)
    }
}
