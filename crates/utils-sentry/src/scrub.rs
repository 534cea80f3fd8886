use sentry::protocol::{Breadcrumb, Context, Event, Exception, Request};
use serde_json::Value;

use crate::secrets::{FILTERED, is_secret, scrub_pairs, scrub_text, scrub_value};

/// The event without secrets: those whose name says so, and those that a text announces.
pub(crate) fn scrub(mut event: Event<'static>) -> Event<'static> {
    if let Some(request) = &mut event.request {
        scrub_request(request);
    }
    for exception in &mut event.exception.values {
        scrub_exception(exception);
    }
    for breadcrumb in &mut event.breadcrumbs.values {
        scrub_breadcrumb(breadcrumb);
    }
    if let Some(message) = &mut event.message {
        *message = scrub_text(message);
    }
    if let Some(entry) = &mut event.logentry {
        entry.message = scrub_text(&entry.message);
        entry.params.iter_mut().for_each(scrub_value);
    }
    for (name, value) in &mut event.tags {
        *value = if is_secret(name) { FILTERED.to_owned() } else { scrub_text(value) };
    }
    scrub_map(event.extra.iter_mut());
    for context in event.contexts.values_mut() {
        if let Context::Other(other) = context {
            scrub_map(other.iter_mut());
        }
    }
    if let Some(user) = &mut event.user {
        scrub_map(user.other.iter_mut());
    }
    event
}

fn scrub_request(request: &mut Request) {
    for (name, value) in &mut request.headers {
        *value = if is_secret(name) { FILTERED.to_owned() } else { scrub_text(value) };
    }
    if let Some(url) = &mut request.url {
        if !url.username().is_empty() || url.password().is_some() {
            // neither can fail where there is a user or a password
            let _ = url.set_username(FILTERED);
            let _ = url.set_password(None);
        }
        let path = scrub_text(url.path());
        if path != url.path() {
            url.set_path(&path);
        }
        let query = url.query().map(scrub_pairs);
        url.set_query(query.as_deref());
    }
    request.query_string = request.query_string.take().map(|query| scrub_pairs(&query));
    request.cookies = request.cookies.take().map(|_| FILTERED.to_owned());
    request.data = request.data.take().map(|body| scrub_body(&body));
}

/// A body is not sent unless the application turns that on.
fn scrub_body(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(mut value) => {
            scrub_value(&mut value);
            value.to_string()
        }
        Err(_) => scrub_pairs(body),
    }
}

fn scrub_exception(exception: &mut Exception) {
    exception.value = exception.value.take().map(|text| scrub_text(&text));
}

fn scrub_breadcrumb(breadcrumb: &mut Breadcrumb) {
    breadcrumb.message = breadcrumb.message.take().map(|text| scrub_text(&text));
    scrub_map(breadcrumb.data.iter_mut());
}

fn scrub_map<'a>(entries: impl Iterator<Item = (&'a String, &'a mut Value)>) {
    for (name, value) in entries {
        if is_secret(name) && !value.is_null() {
            *value = FILTERED.into();
        } else {
            scrub_value(value);
        }
    }
}
