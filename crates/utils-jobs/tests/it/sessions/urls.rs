//! What the databases' URLs may look like, and that none is ever shown.
use diesel::SqliteConnection;
use utils_jobs::{SessionConn, Sessions, SessionsError};

#[track_caller]
fn check<C: SessionConn>(url: &str, expected: Option<&str>) {
    assert_eq!(C::driver_url(url).as_deref(), expected, "{url}");
}

#[test]
fn a_sqlite_url_is_a_path_in_many_spellings() {
    let sqlite = check::<SqliteConnection>;
    for relative in
        ["app.db", "sqlite:app.db", "sqlite://app.db", "sqlite:///app.db", "sqlite+pysqlite:///app.db"]
    {
        sqlite(relative, Some("app.db"));
    }
    for absolute in ["/srv/app.db", "sqlite:/srv/app.db", "sqlite:////srv/app.db"] {
        sqlite(absolute, Some("/srv/app.db"));
    }
    for memory in [":memory:", "sqlite::memory:", "sqlite://", "sqlite:", "sqlite:///:memory:"] {
        sqlite(memory, Some(":memory:"));
    }
    sqlite("sqlite:///app.db?mode=ro", Some("file:app.db?mode=ro"));
    sqlite("file:app.db?mode=ro", Some("file:app.db?mode=ro"));
    sqlite(r"C:\app.db", Some(r"C:\app.db"));
    for foreign in ["", "postgres://db/app", "mysql://db/app", "redis://db"] {
        sqlite(foreign, None);
    }
}

#[test]
fn a_memory_database_is_private_unless_its_cache_is_shared() {
    let check = |name, expected| assert_eq!(SqliteConnection::is_private(name), expected, "{name}");
    check(":memory:", true);
    check("file::memory:", true);
    check("file:x?mode=memory", true);
    check("file:x?mode=memory&cache=shared", false);
    check("app.db", false);
    check("file:app.db?mode=ro", false);
}

#[cfg(feature = "postgres")]
#[test]
fn a_postgresql_url_may_name_a_python_driver() {
    let postgres = check::<diesel::PgConnection>;
    let patient = "keepalives_idle=15&keepalives_interval=5&keepalives_count=3&tcp_user_timeout=20000\
                   &gssencmode=disable";
    let with = |url: &str, sign: char| format!("{url}{sign}connect_timeout=10&{patient}");
    postgres("postgres://u:p@db/app", Some(&with("postgres://u:p@db/app", '?')));
    postgres("postgresql://u:p@db/app", Some(&with("postgres://u:p@db/app", '?')));
    postgres(
        "postgresql+psycopg2://db/app?sslmode=require",
        Some(&with("postgres://db/app?sslmode=require", '&')),
    );
    postgres("postgres://db/app?", Some(&with("postgres://db/app", '?')));
    let said = format!("postgres://db/app?connect_timeout=3&{patient}");
    postgres(&said, Some(&said));
    let kerberos = said.replace("disable", "require");
    postgres(&kerberos, Some(&kerberos));
    let service = format!("{}&service=kerberos", said.replace("&gssencmode=disable", ""));
    postgres(&service, Some(&service));
    let words = with("", ' ').replace('&', " ");
    postgres("host=db dbname=app", Some(&format!("host=db dbname=app{words}")));
    for foreign in ["", "app.db", "mysql://db/app"] {
        postgres(foreign, None);
    }
}

#[cfg(feature = "mysql")]
#[test]
fn a_mysql_url_may_name_a_python_driver() {
    let mysql = check::<diesel::MysqlConnection>;
    mysql("mysql://u:p@db/app", Some("mysql://u:p@db/app"));
    mysql("mariadb://u:p@db/app", Some("mysql://u:p@db/app"));
    mysql("mysql+pymysql://u:p@db/app?charset=utf8mb4", Some("mysql://u:p@db/app?charset=utf8mb4"));
    for foreign in ["", "app.db", "postgres://db/app"] {
        mysql(foreign, None);
    }
}

/// The message, the details for logs and every cause.
fn everything_shown(error: &SessionsError) -> String {
    let mut shown = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        shown += &format!(" {error} {error:?}");
        cause = error.source();
    }
    shown
}

#[track_caller]
fn refuses_quietly<C: SessionConn>(url: &str) {
    let error = Sessions::<C>::new(url).unwrap_err();
    let shown = everything_shown(&error);
    assert!(!shown.contains("hunter2") && !shown.contains(url), "{shown}");
    let shown = format!("{:?}", Sessions::<C>::builder(url));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
/// Not even a part of the password that the driver takes for something else.
#[track_caller]
fn shows_no_part<C: SessionConn>(url: &str) {
    let shown = everything_shown(&Sessions::<C>::new(url).unwrap_err());
    assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
    assert!(shown.contains("the URL cannot be read"), "{shown}");
}

#[cfg(feature = "postgres")]
#[test]
fn a_password_that_libpq_misreads_is_not_shown_in_parts() {
    let check = shows_no_part::<diesel::PgConnection>;
    // the port
    check("postgres://app:hun/ter2@db/app");
    check("postgres://app:hun?ter2/@db/app");
    check("postgres://app:hun%zzter2@db/app");
    // the host, the database
    check("postgres://app:p@hunter2@127.0.0.1/app");
    check("postgres://127.0.0.1:1/hunter2@db/app");
    // keywords
    check("host=127.0.0.1 password=my hunter2");
    check("host=127.0.0.1 password=my hunter2=yes");
    check("host=127.0.0.1 port=hunter2 password=my");
}

#[cfg(feature = "postgres")]
#[test]
fn what_libpq_says_of_a_connection_is_shown() {
    let said = |url| everything_shown(&Sessions::<diesel::PgConnection>::new(url).unwrap_err());
    for url in ["postgres://app:hunter2@127.0.0.1:1/app", "host=127.0.0.1 port=1 password=hunter2"] {
        let shown = said(url);
        assert!(shown.contains("Connection refused"), "{shown}");
    }
    let shown = said("postgres://app:hunter2@no-such-host.invalid/app");
    assert!(shown.contains("could not translate host name"), "{shown}");
}

#[cfg(feature = "mysql")]
#[test]
fn a_password_that_would_be_the_name_of_a_mysql_database_is_not_shown_in_parts() {
    // a password that begins with the port of the server, which then names the database that is not there
    let server =
        std::env::var("TEST_MYSQL_URL").expect("TEST_MYSQL_URL must name a MySQL or MariaDB database");
    let (server, _) = server.rsplit_once('/').unwrap();
    shows_no_part::<diesel::MysqlConnection>(&format!("{server}/hunter2@db"));
}

#[test]
fn no_error_shows_the_url_or_the_password() {
    refuses_quietly::<SqliteConnection>("postgres://app:hunter2@db/app");
    refuses_quietly::<SqliteConnection>("/nowhere/at/all/hunter2.db");
    assert_eq!(
        Sessions::<SqliteConnection>::new("mysql://db/app").unwrap_err().to_string(),
        "the database URL is not a SQLite URL"
    );
    #[cfg(feature = "postgres")]
    {
        refuses_quietly::<diesel::PgConnection>("mysql://app:hunter2@db/app");
        refuses_quietly::<diesel::PgConnection>("postgres://app:hunter2@127.0.0.1:1/app");
        // libpq quotes these in its own message
        refuses_quietly::<diesel::PgConnection>("postgres://app:hunter2@[::1/app");
        refuses_quietly::<diesel::PgConnection>("postgres://app:hunter2@db:port/app");
        refuses_quietly::<diesel::PgConnection>("postgres://app:hunter2@db/app?no_such_option=1");
    }
    #[cfg(feature = "mysql")]
    {
        refuses_quietly::<diesel::MysqlConnection>("postgres://app:hunter2@db/app");
        refuses_quietly::<diesel::MysqlConnection>("mysql://app:hunter2@127.0.0.1:1/app");
        refuses_quietly::<diesel::MysqlConnection>("mysql://app:hunter2@[::1/app");
    }
}
