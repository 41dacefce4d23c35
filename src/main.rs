//! The command `asset-gateway`.

/// Keeps small things that stay apart from large ones that go: with the system's allocator each
/// idempotency key held ten times its own size (`benches/memory --keys`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    asset_gateway::cli::run()
}
