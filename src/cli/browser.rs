//! Starts the person's browser, if there is one, with an address that the store named.
#![expect(clippy::disallowed_methods, reason = "the one place where the command line starts a browser")]

use std::process::{Command, Stdio};

use super::environment::CliEnvironment;
use super::error::CliError;
use crate::client::{Endpoint, EndpointKind};
use crate::process::Exit;

/// Whether a browser can be started here: there is a screen, or the person names a browser.
pub(crate) fn is_available(environment: &CliEnvironment) -> bool {
    ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(|name| environment.text(name).is_some())
}

/// Opens an address, which was checked. Returns whether a program was started for it.
pub(crate) fn open(environment: &CliEnvironment, url: &str) -> bool {
    if !is_available(environment) {
        return false;
    }
    // A variable with arguments is a shell's matter. `xdg-open` understands it too.
    let own = environment.text("BROWSER").filter(|name| !name.contains(char::is_whitespace));
    let candidates = own.into_iter().chain(["xdg-open".to_owned()]);
    candidates.into_iter().any(|program| {
        let mut command = Command::new(program);
        // Never through a shell. Its output must not mix with this program's.
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Not waited for: the browser outlives this command.
        command.spawn().is_ok()
    })
}

/// Refuses an address that is not one of a web page: a program that opens it may do something else with another one.
pub(crate) fn check_address(url: &str) -> Result<&str, CliError> {
    let refused = || {
        CliError::new(Exit::Denied, "the store named an address that is not opened")
            .hint("a provider's address begins with https://; tell the operator")
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(refused)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_web = match Endpoint::parse(&format!("{scheme}://{authority}")).map(|endpoint| endpoint.kind) {
        Ok(EndpointKind::Tls { .. } | EndpointKind::Loopback { .. }) => true,
        Ok(EndpointKind::Unix { .. }) | Err(_) => false,
    };
    // Visible ASCII only: it is printed on a terminal.
    if is_web && url.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(url) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_web_page_is_opened() {
        for good in ["https://id.example/authorize?x=y", "http://127.0.0.1:8080/auth"] {
            assert!(check_address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example/",
            "file:///etc/passwd",
            "--help",
            "javascript:alert(1)",
            "https://id.example/\u{1b}[2J",
            "https://id.example/a b",
            "https://me@id.example/",
            "",
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
