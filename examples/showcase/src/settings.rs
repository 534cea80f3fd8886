//! What the command line and the environment say.
use std::net::SocketAddr;

pub(crate) const HELP: &str = "usage: showcase [--listen ADDRESS:PORT]

  --listen ADDRESS:PORT   where to listen; default 127.0.0.1:8080

environment:
  DATABASE_URL            a SQLite file, such as sqlite:showcase.sqlite (the default) or sqlite::memory:;
                          it is created and migrated at the start. Its key file stands beside it.
  RUST_LOG                what to log, such as debug; default info";

/// The answers to where and with what.
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) database_url: String,
}

impl Settings {
    /// `None` when only help was asked for.
    pub(crate) fn read(
        mut arguments: impl Iterator<Item = String>,
        database_url: Option<String>,
    ) -> Result<Option<Self>, String> {
        let mut listen = "127.0.0.1:8080".to_owned();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--listen" => listen = arguments.next().ok_or("--listen wants an address and a port")?,
                "--help" | "-h" => return Ok(None),
                _ => match argument.strip_prefix("--listen=") {
                    Some(address) => address.clone_into(&mut listen),
                    None => return Err(format!("unknown argument {argument:?}")),
                },
            }
        }
        let listen = listen
            .parse()
            .map_err(|_| format!("--listen {listen:?} is not like 127.0.0.1:8080 or [::1]:8080"))?;
        let database_url = database_url.unwrap_or_else(|| "sqlite:showcase.sqlite".to_owned());
        if !database_url.starts_with("sqlite:") {
            return Err("DATABASE_URL must begin with sqlite: in this example".to_owned());
        }
        Ok(Some(Self { listen, database_url }))
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    fn listen(arguments: &[&str]) -> Result<String, String> {
        let arguments = arguments.iter().map(|&text| text.to_owned());
        Settings::read(arguments, None).map(|read| read.map_or("help".to_owned(), |it| it.listen.to_string()))
    }

    #[test]
    fn the_address_is_chosen_by_listen() {
        assert_eq!(listen(&[]).unwrap(), "127.0.0.1:8080");
        assert_eq!(listen(&["--listen", "127.0.0.1:0"]).unwrap(), "127.0.0.1:0");
        assert_eq!(listen(&["--listen=[::1]:81"]).unwrap(), "[::1]:81");
        assert_eq!(listen(&["--help"]).unwrap(), "help");
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        assert_eq!(listen(&["--listen"]).unwrap_err(), "--listen wants an address and a port");
        assert_eq!(listen(&["--port=1"]).unwrap_err(), "unknown argument \"--port=1\"");
        assert!(listen(&["--listen", "8080"]).unwrap_err().contains("\"8080\""));
        let other = Settings::read(std::iter::empty(), Some("postgres://u:secret@h/d".to_owned()));
        assert_eq!(other.err().unwrap(), "DATABASE_URL must begin with sqlite: in this example");
    }
}
