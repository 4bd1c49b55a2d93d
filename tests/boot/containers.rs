//! Containers from images that our Containerfiles make, under podman and runc, with secrets from a real store on loopback. The
//! agent is the entrypoint: with `--init` it stays as the first process, without it nothing of it stays.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::harness::{Ran, Site};
use super::place::{Folder, has, text};
use super::podman::Podman;
use super::probe::probe;
use super::scope::{
    OFF, PRIVATE, SHARED, deposit, files_with, holds, is_what_a_boot_receives, revoked, variables,
};
use super::workload::{agent, within};
use super::{debian, skip};

const USER: &str = "65532";

/// How the agent is started: as our Containerfiles do it, and where nothing of it is to remain.
const MODES: [(&str, &[&str]); 2] =
    [("init", &[]), ("plain", &["--entrypoint=[\"/usr/bin/dropsafe-agent\",\"exec\",\"--\"]"])];

/// A store, images, and a place to lay tickets. One for all tests that run at the same time.
struct Place {
    podman: Podman,
    site: Site,
    folder: Folder,
}

impl Place {
    fn shared() -> Option<Arc<Self>> {
        static PLACE: Mutex<Weak<Place>> = Mutex::new(Weak::new());
        // A test that panicked here has stored nothing.
        let mut cached = PLACE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(place) = cached.upgrade() {
            return Some(place);
        }
        let place = Arc::new(Self::new()?);
        *cached = Arc::downgrade(&place);
        Some(place)
    }

    fn new() -> Option<Self> {
        // One that is not static finds no loader in an image from scratch.
        if std::env::var_os("DROPSAFE_STATIC_AGENT").is_none() {
            skip("containers (DROPSAFE_STATIC_AGENT is not set; tests/run builds it)");
            return None;
        }
        let Some(probe) = probe() else {
            skip("containers (needs a C compiler with a static C library)");
            return None;
        };
        let podman = Podman::new()?;
        let folder = Folder::new();
        let context = folder.join("context");
        fs::create_dir(&context).unwrap();
        fs::copy(agent(), context.join("dropsafe-agent")).unwrap();
        fs::copy(probe, context.join("app")).unwrap();
        podman.build("dropsafe-agent", "init/container/agent.Containerfile", &context, &[]);
        // As its Containerfile says that a program goes on top of it.
        let app = folder.write("app.Containerfile", "FROM dropsafe-agent\nCOPY app /app\nCMD [\"/app\"]\n");
        podman.build("app", app.to_str().unwrap(), &context, &[]);

        let site = Site::unlocked();
        deposit(&site);
        Some(Self { podman, site, folder })
    }

    /// A ticket in a file of the container's user, and the flag that mounts it.
    fn ticket(&self, name: &str, flags: &[&str]) -> (String, String) {
        let ticket = self.site.ticket("admin", flags);
        (self.keep(name, &ticket), ticket)
    }

    fn keep(&self, name: &str, ticket: &str) -> String {
        let file: PathBuf = self.folder.write(format!("{name}.ticket"), format!("{ticket}\n"));
        chown(&file, Some(65532), Some(65532)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        format!("--volume={}:/run/ticket:ro", file.display())
    }

    /// `podman run` of an image in the narrowest place that there is: no power, nothing to write to, and no user's name.
    fn run(&self, volume: &str, flags: &[&str], image_and_command: &[&str]) -> Command {
        let narrow =
            ["--cap-drop=all", "--security-opt=no-new-privileges", "--read-only", "--read-only-tmpfs=false"];
        let ticket = [volume, "--env=DROPSAFE_TICKET_FILE=/run/ticket"];
        self.podman.run(&[&narrow[..], &ticket[..], flags].concat(), image_and_command)
    }

    fn ran(&self, volume: &str, flags: &[&str], image_and_command: &[&str]) -> Ran {
        let flags = [&["--rm"], flags].concat();
        Ran::of(self.run(volume, &flags, image_and_command).output().unwrap())
    }

    /// Waits until a container that was started in the background has printed a line.
    fn said(&self, name: &str, line: &str) {
        within(Duration::from_secs(30), || {
            self.podman.ran(&["logs", name]).out.lines().any(|said| said == line).then_some(())
        });
    }
}

#[test]
fn in_an_image_from_scratch_workload_and_sessions_get_the_secrets_in_scope() {
    let Some(place) = Place::shared() else { return };
    let (volume, ticket) = place.ticket("scope", &[]);
    for (mode, flags) in MODES {
        let ran =
            place.ran(&volume, flags, &["app", "/app", "environment", "file", "/proc/self/status"]).ok();
        let seen = variables(&ran.out);
        is_what_a_boot_receives(&seen, mode);
        assert!(!ran.out.contains(&ticket), "{mode}");
        assert!(ran.out.contains(&format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}\n")), "{mode}");
        assert!(
            ran.out.contains("CapBnd:\t0000000000000000\n") && ran.out.contains("NoNewPrivs:\t1\n"),
            "{mode}"
        );

        let name = format!("scope-{mode}");
        let flags = [flags, &["--detach", "--name", &name]].concat();
        Ran::of(place.run(&volume, &flags, &["app", "/app", "wait"]).output().unwrap()).ok();
        place.said(&name, "ready");
        let session = place
            .podman
            .ran(&["exec", &name, "/usr/bin/dropsafe-agent", "enter", "--", "/app", "environment"])
            .ok();
        let seen = variables(&session.out);
        is_what_a_boot_receives(&seen, "a session");

        // Where values and the ticket may be: in the workload's own environment and the mounted file. Where else they are not.
        let pid = place.podman.ran(&["inspect", "--format={{.State.Pid}}", &name]).ok().out.trim().to_owned();
        let first = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let workload = children.split_whitespace().next().unwrap_or(&pid);
        assert_eq!(workload != pid, mode == "init", "{children}");
        let environ = fs::read(format!("/proc/{workload}/environ")).unwrap();
        assert!(holds(&environ, PRIVATE), "{mode}: the search finds nothing");
        assert!(!holds(&environ, &ticket) && !holds(&first, &ticket), "{mode}: the ticket is still there");
        assert_eq!(holds(&first, PRIVATE), mode == "plain", "{mode}");
        let results =
            [&["inspect", &name][..], &["logs", &name], &["top", &name], &["image", "inspect", "app"]];
        for result in results.map(|command| place.podman.ran(command).ok()) {
            let text = format!("{}{}", result.out, result.err);
            assert!(
                ![PRIVATE, SHARED, OFF, &ticket].into_iter().any(|secret| holds(text.as_bytes(), secret)),
                "{text}"
            );
        }
        let found = files_with(place.podman.storage(), &[PRIVATE, SHARED, OFF, &ticket]);
        // The runs above print values on purpose, and what a container prints is podman's to keep: only theirs, and they are gone.
        assert_eq!(found, "", "{mode}");
        assert!(!files_with(place.folder.path(), &[&ticket]).is_empty(), "the search finds nothing");
        place.podman.ran(&["rm", "--force", "--time=0", &name]).ok();
    }
}

#[test]
fn stop_reaches_the_workload_as_term() {
    let Some(place) = Place::shared() else { return };
    let (volume, _) = place.ticket("stop", &[]);
    for (mode, flags) in MODES {
        let name = format!("stop-{mode}");
        let flags = [flags, &["--detach", "--name", &name]].concat();
        Ran::of(place.run(&volume, &flags, &["app", "/app", "wait"]).output().unwrap()).ok();
        place.said(&name, "ready");
        let began = Instant::now();
        place.podman.ran(&["stop", "--time=60", &name]).ok();
        assert!(began.elapsed() < Duration::from_secs(30), "{mode}: it had to be killed");
        assert!(place.podman.ran(&["logs", &name]).out.ends_with("signal 15\n"), "{mode}");
        let status = place.podman.ran(&["inspect", "--format={{.State.ExitCode}}", &name]).ok();
        assert_eq!(status.out.trim(), "15", "{mode}: the workload's own status");
        place.podman.ran(&["rm", &name]).ok();
    }
}

#[test]
fn statuses_come_through_and_a_boot_that_fails_starts_nothing() {
    let Some(place) = Place::shared() else { return };
    let (volume, ticket) = place.ticket("status", &[]);
    for (mode, flags) in MODES {
        for code in [0, 1, 42, 255] {
            let ran = place.ran(&volume, flags, &["app", "/app", "exit", &code.to_string()]);
            assert_eq!(ran.status.code(), Some(code), "{mode}: {}", ran.err);
        }
        place.ran(&volume, flags, &["app", "/nonexistent"]).fails(127, &["no such program"]);
        place.ran(&volume, flags, &["app", "/run/ticket"]).fails(126, &[]);
    }
    // The first process of a namespace does not die of its own signals: only behind the supervisor is there one that can.
    for number in [9, 11, 15] {
        let ran = place.ran(&volume, &[], &["app", "/app", "kill", &number.to_string()]);
        assert_eq!(ran.status.code(), Some(128 + number), "{}", ran.err);
    }

    let revoked = place.keep("revoked", &revoked(&place.site));
    // The same ticket for a port where nobody listens, as of a store that is down.
    let mut down = Site::new();
    down.serve_unlocked();
    let away = place.keep("away", &down.ticket("admin", &[]));
    assert!(down.stop().success());
    for (mode, flags) in MODES {
        let ran = place.ran(&revoked, flags, &["app", "/app", "environment"]).fails(77, &["revoked"]);
        assert_eq!(ran.out, "", "{mode}: the workload was started");
        let flags = [flags, &["--env=DROPSAFE_DEADLINE=1s"]].concat();
        let ran = place.ran(&away, &flags, &["app", "/app", "environment"]).fails(69, &[]);
        assert_eq!(ran.out, "", "{mode}: the workload was started");
        assert!(!holds(ran.err.as_bytes(), &ticket), "{mode}");
    }
}

#[test]
fn orphans_are_reaped_by_the_supervisor_and_by_nobody_else() {
    let Some(place) = Place::shared() else { return };
    let (volume, _) = place.ticket("orphans", &[]);
    let [(_, init), (_, plain)] = MODES;
    let command = ["app", "/app", "orphans", "100", "zombies"];
    assert_eq!(place.ran(&volume, init, &command).ok().out, "zombies 0\n");
    // A program that does not wait for what it adopts, in the same place: the search sees them.
    assert_eq!(place.ran(&volume, plain, &command).ok().out, "zombies 100\n");
}

#[test]
fn over_an_image_that_exists_and_from_a_volume_as_root_and_as_a_user() {
    let Some(place) = Place::shared() else { return };
    let Some(root) = debian::root() else { return };
    let (volume, _) = place.ticket("debian", &[]);
    place.podman.import("base", root);
    let arguments = ["--build-arg=AGENT=localhost/dropsafe-agent", "--build-arg=BASE=localhost/base"];
    let context = place.folder.join("context");
    place.podman.build("app-with-secrets", "init/container/into-image.Containerfile", &context, &arguments);

    // As root, as the image has it: the ticket's file is another's, and without capabilities root cannot read it either.
    let shell =
        ["app-with-secrets", "sh", "-c", "echo \"$(id -u) $OPENAI_API_KEY ${SWITCHED_OFF-none}\"; exit 3"];
    let flags = ["--rm", &volume, "--env=DROPSAFE_TICKET_FILE=/run/ticket"];
    let ran = Ran::of(place.podman.run(&flags, &shell).output().unwrap());
    assert_eq!(
        (ran.out.as_str(), ran.status.code()),
        (format!("0 {PRIVATE} none\n").as_str(), Some(3)),
        "{}",
        ran.err
    );
    let ran = place.ran(&volume, &["--user=65532:65532"], &shell);
    assert_eq!(ran.out, format!("{USER} {PRIVATE} none\n"), "{}", ran.err);
    // Started as root, the workload is given to a user by the agent.
    let flags = [
        &flags[..],
        &["--entrypoint=[\"/usr/bin/dropsafe-agent\",\"exec\",\"--init\",\"--user\",\"nobody\",\"--\"]"],
    ]
    .concat();
    let ran = Ran::of(place.podman.run(&flags, &shell).output().unwrap());
    assert_eq!(ran.out, format!("65534 {PRIVATE} none\n"), "{}", ran.err);

    // An init container leaves the agent on a volume, for an image that stays as it is; a second time too.
    let base = ["--build-arg=BASE=localhost/base"];
    place.podman.build("dropsafe-agent-share", "init/container/share.Containerfile", &context, &base);
    let shared = place.folder.join("shared");
    fs::create_dir(&shared).unwrap();
    chown(&shared, Some(65532), Some(65532)).unwrap();
    let left = format!("--volume={}:/dropsafe", shared.display());
    for _ in 0..2 {
        place.ran(&left, &[], &["dropsafe-agent-share"]).ok();
    }
    let flags = [
        "--user=65532:65532",
        &format!("{left}:ro"),
        "--entrypoint=[\"/dropsafe/dropsafe-agent\",\"exec\",\"--init\",\"--\"]",
    ];
    let ran = place.ran(&volume, &flags, &["base", "sh", "-c", "echo \"$OPENAI_API_KEY\""]).ok();
    assert_eq!(ran.out, format!("{PRIVATE}\n"));
}

#[test]
fn the_example_for_kubernetes_runs() {
    let Some(place) = Place::shared() else { return };
    let Some(root) = debian::root() else { return };
    if !has("catatonit") {
        return skip("pods (Debian package catatonit)");
    }
    // Under the names that the example gives them.
    let base = "docker.io/library/debian:bookworm-slim";
    place.podman.import(base, root);
    let context = place.folder.join("context");
    let arguments = format!("--build-arg=BASE={base}");
    place.podman.build("dropsafe-agent-share", "init/container/share.Containerfile", &context, &[&arguments]);
    // This podman hands on the data of a secret as they stand.
    let ticket = place.site.ticket("admin", &[]);
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: dropsafe-ticket}}\ndata: {{ticket: {ticket}}}\n"
    );
    let secret = place.folder.write("secret.yaml", secret);
    place.podman.ran(&["secret", "create", "dropsafe-ticket", secret.to_str().unwrap()]).ok();
    // And starts init containers again as well where it would start the others again.
    let example = text("examples/kubernetes/app.yaml");
    let spec = "      automountServiceAccountToken: false\n";
    assert!(example.contains(spec));
    let example = example.replace(spec, &format!("{spec}      restartPolicy: Never\n"));
    let example = place.folder.write("app.yaml", example);
    let example = example.to_str().unwrap();
    let _pods = place.podman.play(example);
    place.said("app-pod-0-app", "OPENAI_API_KEY is set");
}
