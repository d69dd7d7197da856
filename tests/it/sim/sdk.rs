//! The vendors' own Python packages against the simulator.

use std::{collections::BTreeMap, env, path::Path, process::Stdio, time::Duration};

use dialtone::sim::{Behaviour, Simulator, SimulatorConfig};
use tokio::{process::Command, time::timeout};

const TIME_LIMIT: Duration = Duration::from_secs(90);

#[tokio::test]
async fn the_official_packages_work_against_the_simulator() {
    let python = env::var("DIALTONE_PYTHON").expect(
        "DIALTONE_PYTHON must name a Python with the packages `twilio` and `elevenlabs`; \
         tests/run installs one",
    );
    let numbers = [
        ("SIM_TO_CONVERSES", "+15005550101", Behaviour::Converses),
        ("SIM_TO_BUSY", "+15005550102", Behaviour::Busy),
        ("SIM_TO_NO_ANSWER", "+15005550103", Behaviour::NoAnswer),
        ("SIM_TO_REFUSED", "+15005550104", Behaviour::Refused),
    ];
    let overrides: BTreeMap<_, _> = numbers
        .iter()
        .map(|(_, number, behaviour)| ((*number).to_owned(), vec![*behaviour]))
        .collect();
    let config = SimulatorConfig {
        overrides,
        ..SimulatorConfig::for_testing()
    };
    let simulator = Simulator::start(config.clone()).await.unwrap();
    let (key, secret) = config.api_keys.first_key_value().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/sdk_check.py");
    let output = Command::new(python)
        .arg(script)
        .env("SIM_URL", simulator.base_url())
        .env("SIM_ACCOUNT_SID", &config.account_sid)
        .env("SIM_AUTH_TOKEN", &config.auth_token)
        .env("SIM_KEY_SID", key)
        .env("SIM_KEY_SECRET", secret)
        .env("SIM_FROM", &config.numbers[0])
        .env("SIM_AGENT_ID", &config.agent_id)
        .env("SIM_AGENT_KEY", &config.agent_api_key)
        .envs(numbers.map(|(name, number, _)| (name, number)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(TIME_LIMIT, output)
        .await
        .expect("the script ends in time")
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains(" passed, 0 failed"), "{out}");
    simulator.shutdown().await;
}
