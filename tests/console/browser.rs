//! Headless Chromium with its own driver on a free port. Both end with the test.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::harness::{Site, free_port, skip};

pub struct Browser {
    pub page: Client,
    pub site_url: String,
    driver: Driver,
    session: String,
    _profile: tempfile::TempDir,
}

struct Driver {
    child: Child,
    port: u16,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The driver leads a process group that contains the browser.
        let group = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Finds a program in `PATH`.
fn program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

impl Browser {
    /// Starts a browser. Reports a skipped test and returns `None` where Chromium is not installed.
    pub async fn open(site: &Site) -> Option<Self> {
        let (Some(chromium), Some(driver)) = (program("chromium"), program("chromedriver")) else {
            skip("the console in a browser (Debian's chromium and chromium-driver)");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let port = free_port();
        let log = std::fs::File::create(profile.path().join("driver.log")).unwrap();
        use std::os::unix::process::CommandExt as _;
        let child = Command::new(driver)
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let driver = Driver { child, port };
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "chromedriver does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let options = json!({
            "acceptInsecureCerts": true,
            "timeouts": { "script": 60_000, "pageLoad": 60_000 },
            "goog:chromeOptions": {
                "binary": chromium,
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                    "--disable-background-networking", "--no-first-run", "--hide-scrollbars",
                    // No page of a test, not even of a provider, asks another machine for anything.
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
                    format!("--user-data-dir={}", profile.path().join("profile").display()),
                ],
            },
        });
        let Value::Object(options) = options else { unreachable!() };
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(options)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let session = page.session_id().await.unwrap().unwrap();
        let site_url = site.url.split('#').next().unwrap().trim_end_matches('/').to_owned();
        let browser = Self { page, site_url, driver, session, _profile: profile };
        browser.size(1280, 900);
        Some(browser)
    }

    /// Sets the size of the page, which can be smaller than any window.
    pub fn size(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Sets the theme that the system prefers: `light` or `dark`.
    pub fn prefers(&self, theme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Takes a picture of the whole page.
    pub fn picture(&self) -> Vec<u8> {
        let how = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.devtools("Page.captureScreenshot", how);
        data_encoding::BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap()
    }

    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters }).to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.driver.port)).unwrap();
        let path = format!("/session/{}/goog/cdp/execute", self.session);
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let body = answer_of(&mut stream);
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{command}: {body}"));
        assert!(body["value"]["error"].is_null(), "{command}: {}", body["value"]["message"]);
        body["value"].clone()
    }

    pub async fn goto(&self, path: &str) {
        self.page.goto(&format!("{}{path}", self.site_url)).await.unwrap();
    }

    pub async fn log_in(&self, token: &str) {
        self.goto("/console/login").await;
        self.fill("#token", token).await;
        self.press("Log in").await;
        self.wait_for("nav.side").await;
    }

    /// Waits for an element and returns it.
    #[track_caller]
    pub fn wait_for<'a>(&'a self, css: &'a str) -> impl Future<Output = Element> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            match self.page.wait().at_most(Duration::from_secs(20)).for_element(Locator::Css(css)).await {
                Ok(element) => element,
                Err(error) => panic!("{caller}: no {css}: {error}\n{}", self.text().await),
            }
        }
    }

    /// Waits until the page contains a text.
    #[track_caller]
    pub fn says<'a>(&'a self, words: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let until = Instant::now() + Duration::from_secs(20);
            loop {
                let text = self.text().await;
                if text.contains(words) {
                    return;
                }
                assert!(Instant::now() < until, "{caller}: the page does not say {words:?}:\n{text}");
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    }

    /// Returns the visible text of the page.
    pub async fn text(&self) -> String {
        let text = self.page.execute("return document.body ? document.body.innerText : ''", vec![]).await;
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.wait_for(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    pub async fn choose(&self, css: &str, value: &str) {
        self.wait_for(css).await.select_by_value(value).await.unwrap();
    }

    pub async fn click(&self, css: &str) {
        self.wait_for(css).await.click().await.unwrap();
    }

    /// Clicks the button, link or summary with this text, in the panel if that is open.
    #[track_caller]
    pub fn press<'a>(&'a self, words: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let script = "const [words] = arguments; const panel = document.querySelector('dialog[open]');
                const within = (root) => root ? [...root.querySelectorAll('button, a, summary')] : [];
                const all = (panel ? within(panel) : [...within(document.querySelector('main')), ...within(document)])
                    .filter((e) => e.checkVisibility());
                return all.find((e) => e.textContent.trim() === words)
                    ?? all.find((e) => e.textContent.trim().startsWith(words)) ?? null";
            let until = Instant::now() + Duration::from_secs(20);
            loop {
                let found = self.page.execute(script, vec![json!(words)]).await.unwrap_or(Value::Null);
                if !found.is_null() {
                    let element = Element::from_element_id(self.page.clone(), reference(&found));
                    element.click().await.unwrap();
                    return;
                }
                assert!(Instant::now() < until, "{caller}: nothing says {words:?}:\n{}", self.text().await);
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    }

    pub async fn run(&self, script: &str) -> Value {
        self.page.execute(script, vec![]).await.unwrap()
    }

    /// Returns all that the browser holds of the page and the site: markup, contents of fields, storage, history.
    pub async fn everything(&self) -> String {
        let script = "const fields = [...document.querySelectorAll('input, textarea, select')].map((e) => e.value);
            return JSON.stringify([document.documentElement.outerHTML, fields, {...localStorage}, {...sessionStorage},
                document.cookie, location.href, history.state, document.title])";
        let text = self.run(script).await.as_str().unwrap().to_owned();
        let entries = self.devtools("Page.getNavigationHistory", json!({}));
        format!("{text}{entries}")
    }

    pub async fn close(self) {
        self.page.close().await.unwrap();
    }
}

fn reference(found: &Value) -> fantoccini::elements::ElementRef {
    let id = found.as_object().and_then(|object| object.values().next()).and_then(Value::as_str).unwrap();
    id.to_owned().into()
}

/// Reads the body of a response of the driver, which keeps its connections open.
fn answer_of(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (mut answer, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        if let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
            let (_, length) = text.split_once("content-length:").unwrap();
            let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
            if answer.len() >= head + 4 + length {
                return String::from_utf8(answer[head + 4..head + 4 + length].to_vec()).unwrap();
            }
        }
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the driver closed the connection");
        answer.extend_from_slice(&piece[..read]);
    }
}
