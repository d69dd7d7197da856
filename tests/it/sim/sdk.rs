//! The vendors' own Python packages against the simulator.

use std::{collections::BTreeMap, env, path::Path, process::Stdio, time::Duration};

use dialtone::sim::{Behaviour, Simulator, SimulatorConfig};
use tokio::{process::Command, time::timeout};

/// Vapi's types alone take half a minute to be made ready on a slow machine.
const TIME_LIMIT: Duration = Duration::from_secs(150);

/// Runs a script of `tests/sdk`, with these variables, to its end; nothing of it may fail.
async fn passes(script: &str, variables: &[(&str, &str)]) {
    let python = env::var("DIALTONE_PYTHON").expect(
        "DIALTONE_PYTHON must name a Python with the packages of tests/requirements.txt; \
         tests/run installs one",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdk")
        .join(script);
    let output = Command::new(python)
        .arg(script)
        .envs(variables.iter().copied())
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
}

#[tokio::test]
async fn the_packages_of_twilio_and_elevenlabs_work_against_the_simulator() {
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
    let mut variables = vec![
        ("SIM_ACCOUNT_SID", config.account_sid.as_str()),
        ("SIM_AUTH_TOKEN", &config.auth_token),
        ("SIM_KEY_SID", key),
        ("SIM_KEY_SECRET", secret),
        ("SIM_FROM", &config.numbers[0]),
        ("SIM_AGENT_ID", &config.agent_id),
        ("SIM_AGENT_KEY", &config.agent_api_key),
    ];
    let url = simulator.base_url();
    variables.push(("SIM_URL", &url));
    variables.extend(numbers.map(|(name, number, _)| (name, number)));
    passes("sdk_check.py", &variables).await;
    simulator.shutdown().await;
}

#[tokio::test]
async fn the_package_of_vapi_works_against_the_simulator() {
    let simulator = Simulator::start(SimulatorConfig::for_testing())
        .await
        .unwrap();
    let config = simulator.config();
    let url = simulator.base_url();
    let variables = [
        ("SIM_URL", url.as_str()),
        ("SIM_VAPI_KEY", &config.vapi_api_key),
        ("SIM_VAPI_ASSISTANT", &config.vapi_assistant_id),
    ];
    passes("vapi_check.py", &variables).await;
    simulator.shutdown().await;
}
