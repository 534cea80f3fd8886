use std::{error::Error as StdError, fmt, future::Future, pin::Pin, rc::Rc};

use actix_web::{
    App, Error, HttpResponse,
    body::{MessageBody, to_bytes},
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    test,
};

use crate::{
    client::Client,
    exchange::{Received, Sent},
    privileges::Privileges,
};

pub(crate) type Call = Rc<dyn Fn(Sent) -> Pin<Box<dyn Future<Output = Received>>>>;

/// An application under test, in this process and without a socket.
///
/// It goes through the same services as behind a server: middleware, extractors, and an `Err` that leaves the
/// outermost service becomes the response that the error stands for.
#[derive(Clone)]
pub struct TestApp {
    call: Call,
}

impl TestApp {
    /// Starts the application; needs a running actix system, as `#[actix_web::test]` has one.
    ///
    /// # Panics
    /// When a service of the application cannot be made.
    pub async fn new<T, B>(app: App<T>) -> Self
    where
        T: ServiceFactory<
                ServiceRequest,
                Config = (),
                Response = ServiceResponse<B>,
                Error = Error,
                InitError = (),
            > + 'static,
        B: MessageBody + 'static,
    {
        let service = Rc::new(test::init_service(app).await);
        let call = move |sent: Sent| -> Pin<Box<dyn Future<Output = Received>>> {
            let service = Rc::clone(&service);
            Box::pin(async move {
                match test::try_call_service(&*service, request(sent).to_request()).await {
                    Ok(response) => received(response.into_parts().1).await,
                    Err(error) => received(error.error_response()).await,
                }
            })
        };
        Self { call: Rc::new(call) }
    }

    /// Somebody without any headers. Clients of one application share its state.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(Rc::clone(&self.call))
    }

    /// A table of who may do what with the resource at this path, see [`Privileges`].
    pub fn privileges(&self, endpoint: &str) -> Privileges {
        Privileges::new(endpoint)
    }
}

impl fmt::Debug for TestApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestApp")
    }
}

fn request(sent: Sent) -> test::TestRequest {
    let mut request = test::TestRequest::with_uri(&sent.uri.to_string()).method(sent.method);
    for header in sent.headers {
        request = request.append_header(header);
    }
    if let Some(peer) = sent.peer {
        request = request.peer_addr(peer);
    }
    // A payload makes actix announce a length, which a request without a body does not have.
    if sent.body.is_empty() { request } else { request.set_payload(sent.body) }
}

async fn received<B: MessageBody>(response: HttpResponse<B>) -> Received {
    let (status, headers) = (response.status(), response.headers().clone());
    let (body, broken) = match to_bytes(response.into_body()).await {
        Ok(body) => (body, None),
        Err(error) => (Default::default(), Some(Into::<Box<dyn StdError>>::into(error).to_string())),
    };
    Received { status, headers, body, broken }
}
