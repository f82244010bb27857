//! The binary: runs the command line of the library.

fn main() {
    rollcall::cli::run()
}
