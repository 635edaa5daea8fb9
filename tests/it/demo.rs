//! The demo as a process: its output on a terminal, in a file and in a browser.

use lambda_otlp_tests::binary;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use tempfile::TempDir;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs the demo with these variables. PATH begins with `programs`.
fn demo(
    arguments: &[&str],
    programs: &Path,
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    // Held during all tests, because concurrent demos would compete for the default OTLP port.
    static USUAL_PORT: LazyLock<Option<TcpListener>> =
        LazyLock::new(|| TcpListener::bind(("127.0.0.1", 4318)).ok());
    // One at a time: on a busy machine, a function could time out before it has written its telemetry.
    static ONE: Mutex<()> = Mutex::new(());
    LazyLock::force(&USUAL_PORT);
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new("sh")
        .args(["-c", r#"PATH="$1:$PATH"; shift; exec "$@""#, "sh"])
        .arg(programs)
        .arg(binary("lambda-otlp-demo"))
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A folder whose programs hide the machine's Python. A demo without Python functions takes a third of the time.
fn without_python() -> TempDir {
    let programs = tempfile::tempdir().unwrap();
    for name in ["python3", "python3.12", "python3.13", "python3.14", "pyenv"] {
        let program = programs.path().join(name);
        std::fs::write(&program, "#!/bin/sh\nexit 127\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    programs
}

const BALANCED: &str = "demo: balanced: ";
const WITHOUT_PYTHON: &str = "without the Python function \"shop\": ";

/// Without PyPI, and with compact lines.
#[test]
fn the_demo_balances_and_its_html_report_is_self_contained() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.html");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let variables = [
        ("XDG_CACHE_HOME", directory.path().to_str().unwrap()),
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_INDEX_URL", &format!("http://{nobody}/simple")),
        ("PIP_EXTRA_INDEX_URL", ""),
        ("PIP_FIND_LINKS", ""),
        ("LAMBDA_OTLP_LINE", "compact"),
    ];
    let arguments = ["--html", path.to_str().unwrap()];
    let (code, out, said) = demo(&arguments, Path::new("/nowhere"), &variables);
    assert!(code == Some(0) && out.contains(BALANCED), "{code:?}\n{out}\n{said}");
    // Python may be missing altogether.
    let reason = said.lines().find(|line| line.contains(WITHOUT_PYTHON)).unwrap_or(&said);
    assert!(reason.contains("from PyPI (") || reason.contains("there is no Python"), "{reason}");
    assert!(!out.contains(": shop, "), "a trace of the function in Python\n{out}");
    assert!(out.contains(" compact lines -> "), "{out}");
    assert!(out.contains("wait for the bank"), "the partial span\n{out}");
    let page = std::fs::read_to_string(&path).unwrap();
    // The data has addresses as texts of attributes.
    let (before, rest) = page.split_once("<script id=\"data\"").unwrap();
    let (_, after) = rest.split_once("</script>").unwrap();
    for outside in ["http://", "https://", "src=", "<link", "@import", "url("] {
        assert!(!before.contains(outside) && !after.contains(outside), "{outside}");
    }
    for text in ["balanced", "POST /orders/{id}", "unexpected"] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn the_demo_reports_items_lost_by_the_backend() {
    let (code, out, said) = demo(&["--lose", "1"], without_python().path(), &[]);
    assert!(code == Some(1) && out.contains("NOT BALANCED"), "{code:?}\n{out}\n{said}");
    assert!(!out.contains('\u{1b}'), "colours belong on a terminal");
    assert!(out.contains("the backend was told to lose 1, and lost 1"), "{out}");
    assert!(out.contains(" missing: "), "{out}");
    assert!(out.starts_with("demo: NOT BALANCED: "), "{out}");
    assert_eq!(out.lines().next(), out.lines().next_back());
}

#[test]
fn wrong_arguments_end_the_demo_before_it_starts() {
    for arguments in [["--header", "a=b"], ["--endpoint", "nonsense"]] {
        let (code, out, said) = demo(&arguments, Path::new("/nowhere"), &[]);
        assert_eq!((code, out.as_str()), (Some(64), ""), "{said}");
    }
}

#[test]
fn an_unreachable_backend_ends_the_demo_before_it_starts() {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let endpoint = format!("http://{nobody}/api/default");
    let (code, out, said) = demo(&["--endpoint", &endpoint], Path::new("/nowhere"), &[]);
    assert_eq!((code, out.as_str()), (Some(64), ""), "{said}");
    assert!(said.contains(&format!("--endpoint {endpoint}: ")), "{said}");
    assert!(!said.contains("installing"), "{said}");
}
