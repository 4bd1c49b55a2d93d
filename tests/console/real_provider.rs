//! A real OIDC provider on loopback: `oidc-provider` from npm, which `tests/run` has installed. It ends with the test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::browser::Browser;
use crate::harness::{Site, free_port, skip};

/// The groups of each person. `ada` and `eve` may come in; `nobody` is in no group that counts.
const PEOPLE: &str = r#"{"ada": ["chiefs", "staff"], "eve": ["staff"], "nobody": ["visitors"]}"#;
/// What provider.mjs has for the console's client.
pub const CLIENT_SECRET: &str = "canary-of-the-real-provider";

pub struct RealProvider {
    child: Child,
    /// Kept open: it says more later, and ends if nobody could hear it.
    _said: BufReader<ChildStdout>,
}

impl Drop for RealProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl RealProvider {
    /// Starts a provider, and a store whose people sign in with it. Reports a skipped test and returns `None` where it is not
    /// installed.
    pub fn start() -> Option<(Site, Self)> {
        let Some(library) = std::env::var_os("DROPSAFE_OIDC_PROVIDER") else {
            skip("sign-in with a real provider (oidc-provider, from npm)");
            return None;
        };
        let mut site = Site::new();
        let port = free_port();
        let console = format!("https://127.0.0.1:{}", site.port);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console/provider/provider.mjs");
        let mut child = Command::new("node")
            .arg(program)
            .args([&port.to_string(), &console, PEOPLE])
            .env("DROPSAFE_OIDC_PROVIDER", library)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let provider = Self { child, _said: said };
        configure(&site, port);
        site.serve_unlocked();
        Some((site, provider))
    }

    /// It is down from now on.
    pub fn stop(self) {}
}

fn configure(site: &Site, port: u16) {
    let secret = site.data().join("corp.secret");
    fs::write(&secret, format!("{CLIENT_SECRET}\n")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let file = site.data().join("server.yaml");
    let yaml = fs::read_to_string(&file).unwrap();
    let section = format!(
        "sign_in:\n  providers:\n    - name: corp\n      title: Acme account\n      issuer: http://localhost:{port}\n      \
         client_id: dropsafe\n      client_secret_file: corp.secret\n      command_line: {{client_id: dropsafe-cli}}\n      \
         device_flow: true\n      scopes: [profile, groups]\n      groups:\n        \
         - {{group: chiefs, organization: default, role: admin}}\n        - {{group: staff, organization: default}}\n        \
         - {{group: chiefs, organization: shop}}\n"
    );
    fs::write(file, format!("{yaml}\n{section}")).unwrap();
}

impl Browser {
    /// What a person does at the provider: logs in and agrees.
    pub async fn log_in_at_provider(&self, login: &str) {
        self.fill("[name=login]", login).await;
        self.fill("[name=password]", "any").await;
        self.click("[type=submit]").await;
        self.wait_for("[name=prompt][value=consent]").await;
        self.click("[type=submit]").await;
    }

    /// Forgets all cookies, as another person's browser has none.
    pub fn forget(&self) {
        self.devtools("Network.clearBrowserCookies", serde_json::json!({}));
    }
}
