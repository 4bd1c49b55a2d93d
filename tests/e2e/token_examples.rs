//! The examples of machines without a ticket, with the settings that they have: the agent boots with them from a real store. What
//! only a platform can do is not run: a kubelet, a runner of GitHub, cloud-init and SPIRE. Their part of a file is parsed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::tokens::{TokenSite, audience, metadata, run};

/// An example, with the card in the place where a person puts it.
fn example(path: &str, card: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)).unwrap();
    text.replace("dsi_REPLACE_ME", card)
}

/// The documents of a YAML text.
fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|text| serde_yaml::from_str(text).unwrap()).collect()
}

/// The content of a file that cloud-init writes.
fn written(user_data: &str, path: &str) -> String {
    assert!(user_data.starts_with("#cloud-config\n"));
    let document = &documents(user_data)[0];
    let files = document["write_files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == path).unwrap();
    file["content"].as_str().unwrap().to_owned()
}

impl TokenSite {
    /// Boots with a configuration file, to which nothing but a limit is added.
    fn boot_with(&self, configuration: &str, variables: &[(&str, &str)]) -> String {
        let file = self.site.folder.path().join("agent.yaml");
        fs::write(&file, configuration).unwrap();
        let mut command = self.bare_agent(&["exec", "--deadline", "20s", "--", "printenv", "API_KEY"]);
        command.env("DROPSAFE_CONFIG", &file).envs(variables.iter().copied());
        run(&mut command).ok().out.trim().to_owned()
    }
}

#[test]
fn the_pod_of_kubernetes_boots_with_its_projected_token() {
    let tokens = TokenSite::new();
    let card = tokens.add("kubernetes", &["namespace=default", "service-account=app"]);
    let documents = documents(&example("kubernetes/token.yaml", &card.to_string()));
    let (account, pod) = (&documents[0], &documents[1]["spec"]["template"]["spec"]);
    assert_eq!(
        (&account["kind"], &account["metadata"]["name"]),
        (&"ServiceAccount".into(), &pod["serviceAccountName"])
    );
    let volumes = pod["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "token").unwrap();
    let projected = &volume["projected"]["sources"][0]["serviceAccountToken"];
    // What the kubelet does with it.
    let mut claims = tokens
        .claims(&projected["audience"].as_str().unwrap().replace("dropsafe:REPLACE_ME", &audience(&card)));
    claims["kubernetes.io"] =
        json!({ "namespace": "default", "serviceaccount": { "name": pod["serviceAccountName"] } });
    let mount = tokens.site.folder.path().join("mount");
    fs::create_dir(&mount).unwrap();
    fs::write(mount.join(projected["path"].as_str().unwrap()), tokens.issuer.key("RS256").sign(&claims))
        .unwrap();
    let container = &pod["containers"][0];
    let mounts = container["volumeMounts"].as_array().unwrap();
    let place = mounts.iter().find(|mount| mount["name"] == "token").unwrap()["mountPath"].as_str().unwrap();
    let mut command = tokens.bare_agent(&["exec", "--init", "--", "printenv", "API_KEY"]);
    for variable in container["env"].as_array().unwrap() {
        let value = variable["value"].as_str().unwrap().replace(place, mount.to_str().unwrap());
        command.env(variable["name"].as_str().unwrap(), value);
    }
    assert_eq!(run(&mut command).ok().out.trim(), super::tokens::CANARY);
}

#[test]
fn the_job_of_github_runs_its_command_with_secrets() {
    let tokens = TokenSite::new();
    let card = tokens.add("github", &["repository-id=123456789", "environment=production"]);
    let workflow = &documents(&example("github-actions/deploy.yaml", ""))[0];
    assert_eq!(workflow["permissions"]["id-token"], "write");
    let job = &workflow["jobs"]["deploy"];
    let mut claims = tokens.claims("");
    let environment = job["environment"].as_str().unwrap().to_owned();
    let key = tokens.issuer.key("RS256");
    let service = metadata(move |audience| {
        claims["aud"] = audience.into();
        claims["repository_id"] = "123456789".into();
        claims["environment"] = environment.clone().into();
        json!({ "value": key.sign(&claims) }).to_string()
    });
    let step = job["steps"].as_array().unwrap().last().unwrap();
    let work = tokens.site.folder.path().join("work");
    let bin = work.join("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(super::harness::agent_program(), bin.join("dropsafe-agent")).unwrap();
    let deploy = work.join("deploy");
    // --mask hides the value itself.
    fs::write(&deploy, "#!/bin/sh\nprintf %s \"$API_KEY\" | wc -c; echo \"$API_KEY\"\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&deploy, mode).unwrap();
    // As a runner starts a step.
    let mut command = super::harness::bare("/bin/sh", &work);
    command.args(["-e", "-c", step["run"].as_str().unwrap()]);
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    for (name, value) in step["env"].as_object().unwrap() {
        command.env(name, value.as_str().unwrap().replace("${{ vars.DROPSAFE_CARD }}", &card.to_string()));
    }
    command.env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("http://127.0.0.1:{service}/token?api-version=2.0"));
    let ran = run(command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x")).ok();
    assert_eq!(
        ran.out.split_whitespace().collect::<Vec<_>>(),
        [&super::tokens::CANARY.len().to_string(), "***"]
    );
}

#[test]
fn the_machines_of_google_and_azure_boot_with_what_cloud_init_writes() {
    let tokens = TokenSite::new();
    let account = "service-account=app@project.iam.gserviceaccount.com";
    let card = tokens.add("gcp", &["project-number=123456789", account]);
    let (mut claims, key) = (tokens.claims(""), tokens.issuer.key("RS256"));
    let google = metadata(move |audience| {
        claims["aud"] = audience.into();
        claims["email"] = "app@project.iam.gserviceaccount.com".into();
        claims["google"] = json!({ "compute_engine": { "project_number": "123456789" } });
        key.sign(&claims)
    });
    let file = written(&example("gcp-vm/user-data.yaml", &card.to_string()), "/etc/dropsafe/agent.yaml");
    let host = format!("127.0.0.1:{google}");
    assert_eq!(tokens.boot_with(&file, &[("GCE_METADATA_HOST", &host)]), super::tokens::CANARY);

    let (tenant, object) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    let application = "api://00000000-0000-0000-0000-000000000000";
    let (tid, oid) = (format!("tenant-id={tenant}"), format!("object-id={object}"));
    let card = tokens.add("azure", &[&tid, &oid, "--audience", application]);
    let (mut claims, key) = (tokens.claims(""), tokens.issuer.key("RS256"));
    let azure = metadata(move |audience| {
        claims["aud"] = audience.into();
        (claims["tid"], claims["oid"]) = (tenant.into(), object.into());
        json!({ "access_token": key.sign(&claims), "expires_in": "86399" }).to_string()
    });
    let file = written(&example("azure-vm/user-data.yaml", &card.to_string()), "/etc/dropsafe/agent.yaml");
    let host = format!("http://127.0.0.1:{azure}");
    let booted = tokens.boot_with(&file, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &host)]);
    assert_eq!(booted, super::tokens::CANARY);
}

#[test]
fn the_machine_with_spire_boots_with_the_file_of_spiffe_helper() {
    let tokens = TokenSite::new();
    let card = tokens.add("spiffe", &["id=spiffe://example.org/app"]);
    let helper = example("spiffe/helper.conf", "");
    let quoted = |key: &str| {
        let (_, rest) = helper.split_once(&format!("{key} = \"")).unwrap_or_else(|| panic!("no {key}"));
        rest.split('"').next().unwrap()
    };
    let place = format!("{}/{}", quoted("cert_dir"), quoted("jwt_svid_file_name"));
    let configuration = example("spiffe/agent.yaml", &card.to_string());
    assert!(configuration.contains(&format!("token_from: file:{place}\n")), "the agent reads another file");
    let file = tokens.site.folder.path().join("svid");
    let claims = tokens.issuer.claims(
        &quoted("jwt_audience").replace("dropsafe:REPLACE_ME", &audience(&card)),
        "spiffe://example.org/app",
        super::tokens::now(),
    );
    fs::write(&file, tokens.issuer.key("ES256").sign(&claims)).unwrap();
    let configuration = configuration.replace(&place, file.to_str().unwrap());
    assert_eq!(tokens.boot_with(&configuration, &[]), super::tokens::CANARY);
}
