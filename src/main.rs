//! The `dialtone` command.

fn main() -> std::process::ExitCode {
    dialtone::cli::main()
}
