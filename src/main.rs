//! The `keywatch` command.

fn main() -> std::process::ExitCode {
    keywatch::cli::main()
}
