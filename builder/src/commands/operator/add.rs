//! `vmatic operator add`: makes a certificate, and a key if there is none.

use std::fs;
use std::path::{Path, PathBuf};

use vmatic_tree::auth::certificate::{Certificate, NAME_MAX_BYTES, is_name};
use vmatic_tree::auth::public_key::PublicKey;
use vmatic_tree::auth::verbs::{UnknownVerb, Verb};

use crate::Exit;
use crate::client::identity::now_s;
use crate::commands::operator::cluster::{Cluster, Of};
use crate::error::{Context, Error, Kind, PathContext, Result};
use crate::fs::write_file;
use crate::key::certificates::{self, HeldCertificate};
use crate::key::issued::Register;
use crate::key::openssh::{self, KeyFile, PRIVATE_BEGINS};
use crate::key::{self};
use crate::ui::print::print;
use crate::ui::{date, say};

/// Most bytes of a file of a public key.
const PUBLIC_MAX_BYTES: usize = 16 * 1024;

/// Make a certificate: NAME may do VERBS to NODES
///
/// Without --key it makes a key, too. Key and certificate lie beside the cluster's key, in operators/NAME.key and
/// NAME.cert: give the operator both. He puts them beside each other, and names the key with VMATIC_KEY or `--as`; or
/// he makes a key with `ssh-keygen -t ed25519`, gives you its .pub for --key, and gets the certificate alone. Each
/// command carries it; hosts refuse what it does not allow, and say why. A certificate for the same NAME does not take
/// back those before it.
///
/// Verbs: look (nodes, guests usage and stats, link show), run (run, console), guests (start, stop, save), network
/// (link set, capture), push (nothing yet). Who may run programs on a host is root there, and reads what passes it; on
/// guests alone (1-100/.) he is root in these.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The operator's name: letters, digits, `.`, `_` and `-`
    #[arg(value_parser = name)]
    name: String,
    /// The nodes: 1-100/., ./., dn[4-11]
    #[arg(long, value_name = "NODES")]
    nodes: String,
    /// What for: look, run, guests, network, push; with commas between
    #[arg(long, value_name = "VERBS", value_delimiter = ',', required = true, value_parser = verb)]
    verbs: Vec<Verb>,
    /// When it ends: 2026-12-31 (that day with it), 2026-12-31T18:00 (UTC), or from now 8h or 30d; else never
    #[arg(long, value_name = "DATE", value_parser = end)]
    until: Option<u64>,
    /// The operator's public key: a file such as id_ed25519.pub, or the line in it
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// Print what the certificate would say, and make none
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    of: Of,
}

fn name(text: &str) -> std::result::Result<String, String> {
    match is_name(text) {
        true => Ok(text.into()),
        false => Err(format!("1 to {NAME_MAX_BYTES} letters, digits, `.`, `_` and `-`, not `.` or `-` first")),
    }
}

fn verb(text: &str) -> std::result::Result<Verb, UnknownVerb> {
    text.parse()
}

fn end(text: &str) -> std::result::Result<u64, &'static str> {
    let now_s = now_s();
    match date::parse_end(text, now_s)? {
        end_s if end_s <= now_s => Err("that is over already"),
        end_s => Ok(end_s),
    }
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let cluster = args.of.cluster("make certificates")?;
    let given = args.key.as_deref().map(public_key).transpose()?;
    let nodes = cluster.nodes(&args.nodes)?;
    if nodes.is_empty() {
        return Err(Error::new(format!("cannot make a certificate for {}", args.nodes))
            .because("it names no node")
            .help("`vmatic nodes` shows those that there are")
            .of_kind(Kind::Usage));
    }
    let own = cluster.key.path().to_owned();
    let register = Register::open(&own)?;
    let name = &args.name;
    let (key_file, public) = match &given {
        Some((public, _)) => (register.file(name, "pub"), *public),
        None if args.dry_run => (register.file(name, "key"), cluster.key.public()),
        None => made_key(&register, name)?,
    };
    let certificate = Certificate {
        cluster: cluster.plan.cluster,
        serial: register.next_serial(&cluster.plan.cluster, now_s())?,
        name: name.clone(),
        key: public,
        nodes,
        verbs: args.verbs.iter().copied().collect(),
        since_s: now_s(),
        until_s: args.until,
    };
    let message = certificate.message().context("cannot make the certificate").map_err(|error| {
        error.help("name the nodes in fewer ranges, or make several operators of it").of_kind(Kind::Usage)
    })?;
    let until =
        certificate.until_s.map_or("it never ends".into(), |until_s| format!("until {}", date::minutes(until_s)));
    let Certificate { serial, verbs, nodes, .. } = &certificate;
    let says = format!("{name} may {verbs} {nodes} of {}, {until}", cluster.plan.name);
    if args.dry_run {
        print(&format!("{says}\n"))?;
        return Ok(Exit::Ok);
    }
    let signed = Certificate::signed(&message, &cluster.key.sign(&message)?.signature);
    let file = write(&cluster, &register, &certificate, signed, given.as_ref().map(|(_, line)| line))?;
    say::line(format!("certificate {serial}: {says}"));
    if certificate.until_s.is_none() {
        say::note(
            "--until DATE makes one that ends, also where a host that has just booted knows of no revocation yet",
        );
    }
    say::line(match given {
        Some(_) => format!("give {name} {}, to be put beside the key", file.display()),
        None => format!("give {name} {} and {}", key_file.display(), file.display()),
    });
    say::line(format!("here: vmatic nodes --as {name}"));
    print(&format!("{}\n", file.display()))?;
    Ok(Exit::Ok)
}

/// Writes it down, and for the operator; gives the file.
fn write(
    cluster: &Cluster,
    register: &Register,
    certificate: &Certificate,
    signed: Vec<u8>,
    public_line: Option<&String>,
) -> Result<PathBuf> {
    let cluster_key = cluster.key.of_cluster()?;
    let held = HeldCertificate::new(cluster_key, signed.clone())
        .ok_or_else(|| Error::new("cannot make the certificate").because("what was signed cannot be verified"))?;
    // First what revoking needs: of a certificate that is nowhere written down nobody knows the number.
    register.add(&cluster.plan.name, &signed)?;
    if let Some(line) = public_line {
        write_file(&register.file(&certificate.name, "pub"), line.as_bytes(), 0o644)?;
    }
    let file = register.file(&certificate.name, "cert");
    certificates::replace(&file, &certificate.cluster, Some(&held))?;
    Ok(file)
}

/// The key of an operator that was made here, now or before.
fn made_key(register: &Register, name: &str) -> Result<(PathBuf, PublicKey)> {
    let path = register.file(name, "key");
    if !path.exists() {
        let public = register.file(name, "pub");
        if public.exists() {
            let key = key::load_from(&public)?;
            return Ok((public, key.public()));
        }
        key::create(&path)?;
    }
    let public = key::load_from(&path)?.public();
    Ok((path, public))
}

/// The public key of `--key`, and its line.
fn public_key(text: &str) -> Result<(PublicKey, String)> {
    let tried = || Error::new(format!("cannot use the public key {text}")).of_kind(Kind::Usage);
    let line = match openssh::is_public_line(text) {
        true => text.to_owned(),
        false => read(Path::new(text))?,
    };
    if line.trim_start().starts_with(PRIVATE_BEGINS) {
        return Err(tried().because("it is the private half").help(format!("name the public one: --key {text}.pub")));
    }
    match KeyFile::public(&line) {
        Ok(KeyFile::InAgent { public, .. }) => Ok((public, format!("{}\n", line.trim()))),
        Ok(KeyFile::Secret(_)) => Err(tried().because("it is the private half")),
        Err(error) => Err(tried()
            .because(error)
            .help("write --key FILE.pub or --key 'ssh-ed25519 AAAA...'; `ssh-keygen -t ed25519` makes one")),
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).at("read the public key", path).map_err(|error| error.of_kind(Kind::Usage))?;
    let bytes = &bytes[..bytes.len().min(PUBLIC_MAX_BYTES)];
    Ok(String::from_utf8_lossy(bytes).into_owned())
}
