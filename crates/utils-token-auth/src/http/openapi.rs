use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use utoipa::{
    Modify,
    openapi::{
        OpenApi,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::HttpAuth;
use crate::store::Store;

/// The ways in which a request may carry an access token, as security schemes of an OpenAPI document: `bearer` always,
/// `token_query` and `token_cookie` where [`HttpAuth`] reads them.
///
/// An operation then names one: `#[utoipa::path(get, security(("bearer" = [])))]`.
///
/// ```
/// use utils_token_auth::SecuritySchemes;
/// use utoipa::Modify;
///
/// let mut document = utoipa::openapi::OpenApi::default();
/// SecuritySchemes::bearer().modify(&mut document);
/// let json = serde_json::to_value(&document)?;
/// assert_eq!(json["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SecuritySchemes {
    query_param: Option<Arc<str>>,
    cookie: Option<String>,
}

impl SecuritySchemes {
    /// The `Authorization` header alone.
    #[must_use]
    pub const fn bearer() -> Self {
        Self { query_param: None, cookie: None }
    }
}

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        if let Some(name) = &self.query_param {
            let key = ApiKey::Query(ApiKeyValue::new(&**name));
            components.add_security_scheme("token_query", SecurityScheme::ApiKey(key));
        }
        if let Some(name) = &self.cookie {
            let key = ApiKey::Cookie(ApiKeyValue::new(name));
            components.add_security_scheme("token_cookie", SecurityScheme::ApiKey(key));
        }
    }
}

impl<C, S> HttpAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    /// The security schemes of an OpenAPI document for what this reads.
    #[must_use]
    pub fn security_schemes(&self) -> SecuritySchemes {
        SecuritySchemes {
            query_param: self.options.query_param.clone(),
            cookie: self.options.cookies.as_ref().map(|cookies| cookies.access_name().to_owned()),
        }
    }
}
