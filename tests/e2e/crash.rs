//! `kill -9`, again and again, in the middle of concurrent deposits and boots. What was acknowledged is there
//! afterwards, the audit chain is whole, and the file opens each time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::Site;

const ROUNDS: usize = 500;
const WRITERS: usize = 3;
const NAMES_EACH: usize = 6;

/// What one writer knows of one of its names.
#[derive(Default, Clone)]
struct Known {
    id: Option<String>,
    /// The value of the last write that was answered with success; `None` while absent.
    acknowledged: Option<String>,
    /// A write that was sent and not answered: it may or may not have happened.
    unanswered: Option<String>,
}

#[test]
fn five_hundred_kills_lose_nothing_that_was_acknowledged() {
    let mut site = Site::new();
    // A key file opens in microseconds; five hundred passphrase derivations would be the test's whole time.
    let key = site.folder.path().join("unlock.key");
    site.serve_unlocked();
    site.operator(&["keyslot", "add", "--new-key-file", key.to_str().unwrap()]).ok();
    let ticket = site.ticket("admin", &[]);
    let credential =
        dropsafe::domain::ticket::BootTicket::parse(&ticket).unwrap().credential().to_text().to_string();
    assert!(site.stop().success());

    let socket = site.data().join("dropsafe.sock");
    let mut known: Vec<BTreeMap<String, Known>> = (0..WRITERS)
        .map(|writer| (0..NAMES_EACH).map(|n| (format!("w{writer}-n{n}-x"), Known::default())).collect())
        .collect();
    let boots = Arc::new(Mutex::new(BTreeSet::new()));
    let (mut writes, mut unanswered) = (0, 0);

    for round in 0..ROUNDS {
        site.serve(&["--unlock-key-file", key.to_str().unwrap()]);
        settle(&socket, &credential, &site.admin, &mut known, round);

        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = known
            .iter()
            .cloned()
            .map(|names| {
                let (socket, token, stop) = (socket.clone(), site.admin.clone(), stop.clone());
                let answers = answers.clone();
                std::thread::spawn(move || write_until(&socket, &token, names, (&stop, &answers), round))
            })
            .collect();
        let booter = {
            let (socket, credential, stop, boots) =
                (socket.clone(), credential.clone(), stop.clone(), boots.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Some((200, body)) = call(&socket, &credential, "POST", "/v1/boot", &json!({})) {
                        boots.lock().unwrap().insert(body["boot"].as_str().unwrap().to_owned());
                    }
                }
            })
        };
        // Spread the moment of death over what a round does: after some answers, and a moment more.
        let began = Instant::now();
        while answers.load(Ordering::Relaxed) < round % 8 && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros((round as u64 * 7_919) % 20_000));
        site.kill();
        stop.store(true, Ordering::Relaxed);
        known = writers
            .into_iter()
            .map(|writer| {
                let (names, count) = writer.join().unwrap();
                writes += count;
                unanswered += names.values().filter(|one| one.unanswered.is_some()).count();
                names
            })
            .collect();
        booter.join().unwrap();
    }

    site.serve(&["--unlock-key-file", key.to_str().unwrap()]);
    settle(&socket, &credential, &site.admin, &mut known, ROUNDS);
    let verified = site.operator(&["audit", "verify", "--json"]).ok().json();
    assert_eq!(verified["ok"], true, "{verified}");
    // Every acknowledged boot is on record.
    let recorded: BTreeSet<String> = site
        .cli(&["boots", "--json"])
        .ok()
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|boot| boot["id"].as_str().unwrap().to_owned())
        .collect();
    let boots = boots.lock().unwrap();
    let lost: Vec<_> = boots.difference(&recorded).collect();
    assert!(lost.is_empty(), "boots that were answered and are not on record: {lost:?}");
    assert!(site.stop().success());
    println!(
        "{writes} acknowledged writes, {} acknowledged boots, {unanswered} in flight at a kill",
        boots.len()
    );
    assert!(
        writes > ROUNDS && boots.len() > 100,
        "too little happened: {writes} writes, {} boots",
        boots.len()
    );
}

/// Looks at what is there after a restart and holds it against what was acknowledged.
fn settle(socket: &Path, credential: &str, token: &str, known: &mut [BTreeMap<String, Known>], round: usize) {
    let (status, answer) =
        call(socket, credential, "POST", "/v1/boot", &json!({})).expect("no answer after a restart");
    assert_eq!(status, 200, "{answer}");
    let (status, list) = call(socket, token, "GET", "/v1/secrets?limit=500", &Value::Null).unwrap();
    assert_eq!(status, 200, "{list}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let values: BTreeMap<String, String> = answer["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (text(&one["id"]), text(&one["value"])))
        .collect();
    let ids: BTreeMap<String, String> =
        list["items"].as_array().unwrap().iter().map(|one| (text(&one["name"]), text(&one["id"]))).collect();
    for (name, one) in known.iter_mut().flatten() {
        let found = ids.get(name).map(|id| values[id].clone());
        assert!(
            found == one.acknowledged || (one.unanswered.is_some() && found == one.unanswered),
            "round {round}: {name} was acknowledged as {:?} (unanswered {:?}) and is {found:?}",
            one.acknowledged,
            one.unanswered
        );
        *one = Known { id: ids.get(name).cloned(), acknowledged: found, unanswered: None };
    }
}

/// Creates and replaces secrets until `stop` is set or the server dies.
fn write_until(
    socket: &Path,
    token: &str,
    mut names: BTreeMap<String, Known>,
    (stop, answers): (&AtomicBool, &AtomicUsize),
    round: usize,
) -> (BTreeMap<String, Known>, usize) {
    let mut count = 0;
    for step in 0.. {
        for (name, one) in &mut names {
            if stop.load(Ordering::Relaxed) {
                return (names, count);
            }
            let value = format!("{name} round {round} step {step}");
            one.unanswered = Some(value.clone());
            let answer = match &one.id {
                None => call(socket, token, "POST", "/v1/secrets", &json!({"name": name, "value": value})),
                Some(id) => {
                    call(socket, token, "PUT", &format!("/v1/secrets/{id}"), &json!({"value": value}))
                }
            };
            let Some((status, body)) = answer else { return (names, count) };
            assert!(status == 200 || status == 201, "{status} {body}");
            one.id = Some(body["id"].as_str().unwrap().to_owned());
            one.acknowledged = one.unanswered.take();
            count += 1;
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
    (names, count)
}

/// Performs one exchange on a new connection. `None` if the connection ended early.
fn call(socket: &Path, credential: &str, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {credential}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))?
        .parse::<usize>()
        .ok()?;
    // Cut off in the middle: not an acknowledgement.
    if body.len() != length {
        return None;
    }
    serde_json::from_str(body).ok().map(|body| (status, body))
}
