//! An application as the tutorial builds it: users who sign up and in, a page for them, a page for administrators.
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{
    App,
    dev::Service,
    http::{
        Method, StatusCode,
        header::{HeaderValue, WWW_AUTHENTICATE},
    },
    test::{self, TestRequest},
    web::{self, Data},
};
use serde::Deserialize;
use utils_restful::{ApiError, ExpectedJson, Message, OrRespond, Restful, Result, ensure, message};
use utils_token_auth::{
    Auth, Client, HttpAuth, Keys, Pair, Policy, Refusal, Session, Store, TestClock, TokenAuth, Which, Why,
};

use crate::http_app::{Answer, Claims, SECRET, with_token};

/// A login is good for as long as the tutorial's: two days, whether or not it is renewed.
pub(crate) const LIFE: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The engine, its clock and the application's users.
pub(crate) struct Site<S> {
    pub(crate) auth: TokenAuth<Claims, S>,
    pub(crate) clock: TestClock,
    pub(crate) users: Users,
}

impl<S: Store> Site<S> {
    pub(crate) fn on(store: S) -> Self {
        let clock = TestClock::at(0);
        let users = Users::default();
        let auth = TokenAuth::new(Keys::hs256("1", SECRET).unwrap(), store, {
            let users = users.clone();
            move |session: Session| {
                let scopes = users.scopes(&session.user);
                async { Ok(Claims { scopes: scopes.ok_or(Refusal::Denied)? }) }
            }
        })
        .policy(
            Policy::default()
                .access(LIFE)
                .idle(LIFE)
                .absolute(LIFE)
                .leeway(Duration::ZERO)
                .subject_claim("user_id"),
        )
        .clock(clock.clone())
        .build()
        .unwrap();
        Self { auth, clock, users }
    }

    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        let app = test::init_service(App::new().configure(self.routes()).wrap(Restful::new())).await;
        Answer::of(app.call(request.to_request()).await).await
    }

    /// The status of a page.
    pub(crate) async fn get(&self, path: &str, token: &str) -> u16 {
        self.send(with_token(Method::GET, path, token)).await.status.as_u16()
    }

    fn routes(&self) -> impl FnOnce(&mut web::ServiceConfig) + use<S> {
        let (auth, users) = (self.auth.clone(), self.users.clone());
        move |config| {
            let http = HttpAuth::new(auth.clone());
            let api = web::scope("/api/v1")
                .configure(http.routes())
                .service(web::resource("/signup").route(web::post().to(sign_up)))
                .service(web::resource("/login").route(web::post().to(log_in::<S>)));
            config
                .app_data(Data::new(auth))
                .app_data(Data::new(users))
                .configure(http.extractors())
                .service(api)
                .route("/need_login", web::get().to(need_login))
                .route("/certain", web::get().to(certain))
                .service(
                    web::resource("/admin")
                        .wrap(http.protect().scope("admin"))
                        .route(web::get().to(|| async { "you are an admin" })),
                );
        }
    }

    /// What an application does when a user goes: their sessions end first.
    pub(crate) async fn delete_user(&self, id: usize) {
        self.auth.revoke(Which::All { user: &id.to_string() }, Why::Admin).await.unwrap();
        self.users.delete(id);
    }
}

/// The table of users; ids are counted from 1.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<Mutex<Vec<Option<User>>>>);

#[derive(Default)]
pub(crate) struct User {
    username: String,
    email: String,
    /// As it was typed, because what is tested comes after the login; `Passwords` would hash it.
    password: String,
    scopes: BTreeSet<String>,
}

impl Users {
    pub(crate) fn grant(&self, id: usize, scope: &str) {
        let mut users = self.0.lock().unwrap();
        users[id - 1].as_mut().unwrap().scopes.insert(scope.to_owned());
    }

    pub(crate) fn delete(&self, id: usize) {
        self.0.lock().unwrap()[id - 1] = None;
    }

    /// `None`: there is no such user.
    fn scopes(&self, id: &str) -> Option<Vec<String>> {
        let users = self.0.lock().unwrap();
        let user = users.get(id.parse::<usize>().ok()?.checked_sub(1)?)?.as_ref()?;
        Some(user.scopes.iter().cloned().collect())
    }

    fn has(&self, same: impl Fn(&User) -> bool) -> bool {
        self.0.lock().unwrap().iter().flatten().any(same)
    }

    fn id_of(&self, username: &str, password: &str) -> Option<usize> {
        let users = self.0.lock().unwrap();
        let is_it = |user: &Option<User>| {
            user.as_ref().is_some_and(|user| user.username == username && user.password == password)
        };
        users.iter().position(is_it).map(|index| index + 1)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    username: String,
    email: String,
    password: String,
}

async fn sign_up(users: Data<Users>, ExpectedJson(form): ExpectedJson<Form>) -> Result<Message> {
    let Form { username, email, password } = form;
    filled_in(&[("username", &username), ("email", &email), ("password", &password)])?;
    ensure!(!users.has(|user| user.username == username), CONFLICT, "username already taken");
    ensure!(!users.has(|user| user.email == email), CONFLICT, "email already signed-up");
    users.0.lock().unwrap().push(Some(User { username, email, password, ..User::default() }));
    Ok(message("welcome :-)"))
}

async fn log_in<S: Store>(
    auth: Data<TokenAuth<Claims, S>>,
    users: Data<Users>,
    client: Client,
    ExpectedJson(form): ExpectedJson<Form>,
) -> Result<Pair> {
    filled_in(&[("username", &form.username), ("password", &form.password)])?;
    let Some(id) = users.id_of(&form.username, &form.password) else {
        let challenge = HeaderValue::from_static(r#"Bearer realm="api""#);
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "The user name or the password is wrong.")
            .header(WWW_AUTHENTICATE, challenge));
    };
    auth.login(&id.to_string(), (), client).await.or_respond()
}

fn filled_in(fields: &[(&str, &str)]) -> Result<()> {
    match fields.iter().find(|(_, value)| value.is_empty()) {
        Some((name, _)) => Err(ApiError::invalid().field(*name, "is empty")),
        None => Ok(()),
    }
}

async fn need_login(_: Auth<Claims>) -> &'static str {
    "if you see this, that means your token is valid"
}

/// A page that asks the store as well.
async fn certain(auth: Auth<Claims>) -> Result<&'static str> {
    auth.confirm().await.or_respond()?;
    Ok("certain")
}
