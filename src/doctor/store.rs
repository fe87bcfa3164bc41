//! The store: reached, writable, its tables of this program's version.

use std::path::Path;

use super::{Check, Finding, disk};
use crate::config::{Config, StoreConfig};
use crate::store::{Position, Server, Store, StoreError};
use crate::time::Millis;

/// Less room than this is little: usage and alerts grow, and a checkpoint rewrites much.
const ROOM_MIN: u64 = 1 << 30;

/// What later checks need of the store.
#[derive(Default)]
pub(super) struct Looked {
    /// A connection that cannot write.
    pub(super) store: Option<Store>,
    /// Its tables are there, in our version.
    pub(super) is_readable: bool,
    /// The store is still to be made.
    pub(super) is_new: bool,
    /// How far every shard has been read.
    pub(super) positions: Vec<Position>,
    /// The database server's clock, read at the start.
    pub(super) clock: Option<Millis>,
}

/// Looks at the store and its schema.
pub(super) async fn look(config: &Config) -> (Looked, Vec<Finding>) {
    let file = Store::file(&config.store);
    let at = file.as_ref().map_or_else(
        || if config.store.url.reveal().starts_with("sqlite:") { "SQLite in memory" } else { "PostgreSQL" }.to_owned(),
        |file| format!("SQLite {}", file.display()),
    );
    if let Some(file) = file.as_deref().filter(|file| !file.exists()) {
        return (Looked { is_new: true, ..Looked::default() }, new_file(&at, file, config.store.migrate));
    }
    let store = match Store::open_to_look(&config.store).await {
        Ok(store) => store,
        Err(error) => {
            let skipped = Finding::skipped(Check::Schema, "tables", "the store does not answer", "mend `store` first");
            return (Looked::default(), vec![away(at, &error), skipped]);
        }
    };
    let server = store.server(&config.store).await;
    let clock = server.as_ref().ok().and_then(|server| Some(server.as_ref()?.now));
    let first = match (&server, &file) {
        (Ok(Some(server)), _) => of_server(at, server),
        (Ok(None), Some(file)) => of_file(at, file),
        (Ok(None), None) => Finding::warn(
            Check::Store,
            at,
            "answers",
            "everything is forgotten at a stop; set store.url to sqlite:PATH",
        ),
        (Err(error), _) => away(at, error),
    };
    let mut looked = Looked { clock, ..Looked::default() };
    let second = schema(&store, &config.store, server.ok().flatten().as_ref(), &mut looked).await;
    if looked.is_readable {
        looked.positions = store.positions().await.unwrap_or_default();
    }
    looked.store = Some(store);
    (looked, vec![first, second])
}

async fn schema(store: &Store, config: &StoreConfig, server: Option<&Server>, looked: &mut Looked) -> Finding {
    let schema = match store.schema().await {
        Ok(schema) => schema,
        Err(StoreError::Migration(text)) => {
            return Finding::fail_with(
                Check::Schema,
                "tables",
                &text.replace(": run the newer", "; run the newer"),
                "run the newer keywatch",
            );
        }
        Err(error) => return Finding::fail(Check::Schema, "tables", error.to_string(), "run `keywatch doctor` again"),
    };
    if schema.pending.is_empty() {
        looked.is_readable = true;
        return Finding::ok(Check::Schema, "tables", format!("version {}, this program's", schema.newest));
    }
    looked.is_new = schema.is_empty;
    let found = format!(
        "{}the migrations {} are pending",
        if schema.is_empty { "none yet: " } else { "" },
        schema.pending.join(", ")
    );
    match server {
        Some(server) if !server.may_create => Finding::fail(
            Check::Schema,
            "tables",
            format!("{found}, and the user may not make tables"),
            "let the user of store.url own its database or schema, as docs/postgresql.md says",
        ),
        _ if config.migrate => Finding::ok(Check::Schema, "tables", format!("{found}: the next start applies them")),
        _ => Finding::fail(Check::Schema, "tables", found, "run `keywatch migrate`, or set store.migrate to true"),
    }
}

fn new_file(at: &str, file: &Path, migrate: bool) -> Vec<Finding> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // SQLite makes the file, but not its folder.
    let usable = if folder.exists() {
        disk::folder_is_writable(folder)
    } else {
        Err(format!("the folder `{}` does not exist", folder.display()))
    };
    let first = match usable {
        Ok(()) => roomy(at.to_owned(), folder, "will be made at the first start"),
        Err(why) => Finding::fail(Check::Store, at, why, "make the folder for keywatch's user, or set store.url"),
    };
    let second = if migrate {
        Finding::ok(Check::Schema, "tables", "will be made at the first start")
    } else {
        let hint = "run `keywatch migrate`, or set store.migrate to true";
        Finding::fail(Check::Schema, "tables", "there are none, and store.migrate is false", hint)
    };
    vec![first, second]
}

fn of_file(at: String, file: &Path) -> Finding {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // SQLite's log lies beside the file.
    match disk::file_is_writable(file).and_then(|()| disk::folder_is_writable(folder)) {
        Ok(()) => roomy(at, folder, "can be read and written"),
        Err(why) => Finding::fail(Check::Store, at, why, "give the file and its folder to keywatch's user (`chown`)"),
    }
}

fn roomy(at: String, folder: &Path, found: &str) -> Finding {
    match disk::room(folder) {
        Some(room) if room < ROOM_MIN => Finding::warn(
            Check::Store,
            at,
            format!("{found}; only {} MiB are free there", room >> 20),
            "make room on that disk, or set store.url to another",
        ),
        Some(room) => Finding::ok(Check::Store, at, format!("{found}; {} GiB free", room >> 30)),
        None => Finding::ok(Check::Store, at, found),
    }
}

fn of_server(at: String, server: &Server) -> Finding {
    let tls = if server.has_tls { "with TLS" } else { "without TLS" };
    let found = format!("version {}, {tls}", server.version);
    if !server.has_tls && !server.is_local {
        let hint = "add ?sslmode=verify-full to store.url: alerts and facts go over the network in the clear";
        return Finding::warn(Check::Store, at, found, hint);
    }
    Finding::ok(Check::Store, at, found)
}

fn away(at: String, error: &StoreError) -> Finding {
    let text = error.to_string();
    let has = |part: &str| text.contains(part);
    let hint = if has("password authentication failed") {
        "check user and password in store.url"
    } else if has("database \"") && has("does not exist") {
        "make the database (`createdb`), or set its name in store.url"
    } else if has("Connection refused") || has("refused") {
        "check host and port in store.url, and that PostgreSQL runs"
    } else if has("certificate") || has("TLS") {
        "check sslmode and sslrootcert in store.url"
    } else if has("not a database") {
        "the file is no SQLite database: set store.url to another"
    } else {
        "check store.url"
    };
    Finding::fail(Check::Store, at, text, hint)
}
