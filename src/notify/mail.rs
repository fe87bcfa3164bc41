//! Mail on the wire: MIME, SMTP, and files. The only module that names lettre.
//!
//! The SMTP conversation is led step by step, as an answer means different things at different steps. Before the
//! first recipient is named the server judges *us* (address, TLS, password): that is a matter of configuration, so the
//! mail waits and is tried again. From there on it judges the mail.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lettre::address::Address;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart, header::ContentType};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use crate::config::{MailConfig, MailTransport, Secret, SmtpConfig, SmtpTls};
use crate::notify::Mail;
use crate::time::Millis;

/// Why a mail was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Worth another try: the server is away, busy, or does not accept us as we are configured.
    #[error("{0}")]
    Transient(String),
    /// The server refused this mail for good.
    #[error("{0}")]
    Permanent(String),
}

/// Temporary refusals of one recipient hold the mail back for all until this attempt (so that a server that asks
/// everyone to come back gets one message, not two); after it, those who can be reached get theirs.
const PATIENT_ATTEMPTS: u32 = 3;

/// Where mail goes.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Nowhere.
    None,
    /// Into a folder, one file a message.
    Files(PathBuf),
    /// To an SMTP server.
    Smtp(Box<Smtp>),
}

/// How to reach the SMTP server.
#[derive(Clone)]
pub struct Smtp {
    host: String,
    port: u16,
    tls: SmtpTls,
    parameters: Option<TlsParameters>,
    login: Option<(String, Secret)>,
    timeout: Duration,
}

impl Transport {
    /// Checks the configuration and reads the files it names. Connects to nothing yet.
    pub fn connect(config: &MailConfig) -> Result<Self, String> {
        for (field, address) in [("mail.from", &config.from), ("mail.reply_to", &config.reply_to)] {
            address.parse::<Mailbox>().map_err(|e| format!("{field}: `{address}` is no mail address: {e}"))?;
        }
        match &config.transport {
            MailTransport::None => Ok(Transport::None),
            MailTransport::Files { directory } => {
                std::fs::create_dir_all(directory)
                    .map_err(|e| format!("make the mail folder `{}`: {e}", directory.display()))?;
                Ok(Transport::Files(directory.clone()))
            }
            MailTransport::Smtp(smtp) => Ok(Transport::Smtp(Box::new(Smtp::new(smtp)?))),
        }
    }

    /// Longest time that one delivery takes.
    pub fn timeout(&self) -> Duration {
        match self {
            Transport::None | Transport::Files(_) => Duration::from_secs(10),
            Transport::Smtp(smtp) => smtp.timeout,
        }
    }

    /// Says hello to the SMTP server, protects the connection, logs in, and takes leave. No mail is sent.
    pub async fn try_login(&self) -> Result<(), String> {
        let Transport::Smtp(smtp) = self else { return Ok(()) };
        match tokio::time::timeout(smtp.timeout, smtp.open()).await {
            Ok(Ok(mut connection)) => {
                let _ = tokio::time::timeout(Duration::from_secs(1), connection.quit()).await;
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer from {} within {} s", smtp.place(), smtp.timeout.as_secs_f32())),
        }
    }

    /// Delivers one mail and says what the server answered. `date` is when the notice was made, so that every attempt
    /// sends the same bytes. `attempt` counts from 1.
    pub async fn deliver(
        &self,
        mail: &Mail,
        from: &str,
        reply_to: &str,
        date: Millis,
        attempt: u32,
    ) -> Result<String, DeliveryError> {
        if matches!(self, Transport::None) {
            return Ok("sent to nobody: mail.transport is `none`".to_owned());
        }
        let (recipients, mut refused) = recipients(mail);
        if recipients.is_empty() {
            return Err(DeliveryError::Permanent(match refused.is_empty() {
                true => "no address is configured for this receiver".to_owned(),
                false => format!("no usable address: {}", refused.join("; ")),
            }));
        }
        let bytes = mime(mail, &recipients, from, reply_to, date).map_err(DeliveryError::Permanent)?;
        match self {
            Transport::None => Ok(String::new()),
            Transport::Files(directory) => write_file(directory, &mail.message_id, &bytes).await,
            Transport::Smtp(smtp) => {
                let sender: Address = from
                    .parse::<Mailbox>()
                    .map(|mailbox| mailbox.email)
                    .map_err(|e| DeliveryError::Transient(format!("mail.from is no mail address: {e}")))?;
                let talk = smtp.talk(sender, &recipients, &bytes, attempt, &mut refused);
                match tokio::time::timeout(smtp.timeout, talk).await {
                    Ok(answer) => answer,
                    Err(_) => Err(DeliveryError::Transient(format!(
                        "no answer from {} within {} s",
                        smtp.place(),
                        smtp.timeout.as_secs_f32()
                    ))),
                }
            }
        }
    }
}

/// The step of the conversation at which an answer came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    Starttls,
    Login,
    Sender,
    Recipient,
    Content,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smtp").field("place", &self.place()).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Smtp {
    fn new(config: &SmtpConfig) -> Result<Self, String> {
        let parameters = match config.tls {
            SmtpTls::None => None,
            SmtpTls::Starttls | SmtpTls::Implicit => {
                let mut builder = TlsParameters::builder(config.host.clone());
                if let Some(file) = &config.ca_file {
                    let bad =
                        |e: &dyn std::fmt::Display| format!("mail.transport.smtp.ca_file: `{}`: {e}", file.display());
                    let pem = std::fs::read(file).map_err(|e| bad(&e))?;
                    let certificates = pem_certificates(&pem);
                    if certificates.is_empty() {
                        return Err(bad(&"holds no PEM certificate"));
                    }
                    builder = builder.certificate_store(CertificateStore::None);
                    for pem in certificates {
                        builder =
                            builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(|e| bad(&e))?);
                    }
                }
                Some(builder.build().map_err(|e| format!("mail.transport.smtp: {}", chain(&e)))?)
            }
        };
        let login = match (&config.username, &config.password) {
            (Some(user), Some(password)) => Some((user.clone(), password.clone())),
            (None, None) => None,
            _ => return Err("mail.transport.smtp: `username` and `password` go together".to_owned()),
        };
        let timeout = Duration::from_millis(config.timeout.max(1) as u64);
        Ok(Smtp { host: config.host.clone(), port: config.port, tls: config.tls, parameters, login, timeout })
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    async fn talk(
        &self,
        sender: Address,
        recipients: &[Address],
        bytes: &[u8],
        attempt: u32,
        refused: &mut Vec<String>,
    ) -> Result<String, DeliveryError> {
        let mut connection = self.open().await?;
        let to_error = |step| move |e: SmtpError| self.judge(step, &e);
        connection.command(MailFrom::new(Some(sender), Vec::new())).await.map_err(to_error(Step::Sender))?;
        let (mut accepted, mut waiting): (usize, Option<DeliveryError>) = (0, None);
        for recipient in recipients {
            match connection.command(Rcpt::new(recipient.clone(), Vec::new())).await {
                Ok(_) => accepted += 1,
                Err(error) => match self.judge(Step::Recipient, &error) {
                    DeliveryError::Permanent(text) => refused.push(text),
                    later if error.status().is_none() => return Err(later),
                    later => {
                        refused.push(later.to_string());
                        waiting = Some(later);
                    }
                },
            }
        }
        if let Some(later) = waiting
            && (accepted == 0 || attempt <= PATIENT_ATTEMPTS)
        {
            connection.abort().await;
            return Err(later);
        }
        if accepted == 0 {
            connection.abort().await;
            return Err(DeliveryError::Permanent(refused.join("; ")));
        }
        connection.command(Data).await.map_err(to_error(Step::Content))?;
        let answer = connection.message(bytes).await.map_err(to_error(Step::Content))?;
        let mut answer = mask(&format!("{} {}", answer.code(), answer.message().collect::<Vec<_>>().join(" ")));
        if !refused.is_empty() {
            answer.push_str(&format!("; not to {} of its addresses: {}", refused.len(), refused.join("; ")));
        }
        // The mail is delivered: what happens to the farewell changes nothing.
        let _ = tokio::time::timeout(Duration::from_millis(200), connection.quit()).await;
        Ok(answer)
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, DeliveryError> {
        let hello = ClientId::default();
        let implicit = if self.tls == SmtpTls::Implicit { self.parameters.clone() } else { None };
        let server = (self.host.as_str(), self.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &hello, implicit, None)
            .await
            .map_err(|e| self.judge(Step::Connect, &e))?;
        if let (SmtpTls::Starttls, Some(parameters)) = (self.tls, &self.parameters) {
            if !connection.can_starttls() {
                connection.abort().await;
                return Err(DeliveryError::Transient(format!(
                    "{} offers no STARTTLS; mail.transport.smtp.tls asks for it",
                    self.place()
                )));
            }
            connection.starttls(parameters.clone(), &hello).await.map_err(|e| self.judge(Step::Starttls, &e))?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
                .await
                .map_err(|e| self.judge(Step::Login, &e))?;
        }
        Ok(connection)
    }

    /// What an error at a step means, with a hint where it is our configuration's fault.
    fn judge(&self, step: Step, error: &SmtpError) -> DeliveryError {
        let code: Option<u16> = error.status().map(Into::into);
        let (text, place) = (mask(&chain(error)), self.place());
        let text = match step {
            Step::Connect if self.tls == SmtpTls::Implicit => {
                format!("reach {place}: {text} (check mail.transport.smtp: host, port, tls, ca_file)")
            }
            Step::Connect => format!("reach {place}: {text}"),
            Step::Starttls => format!("start TLS with {place}: {text} (check mail.transport.smtp: host, ca_file)"),
            Step::Login => format!("log in to {place}: {text} (check mail.transport.smtp: username, password)"),
            Step::Sender if code.is_some() => format!("sender refused by {place}: {text} (check mail.from)"),
            Step::Sender => format!("{place}: {text}"),
            Step::Recipient => format!("recipient refused by {place}: {text}"),
            Step::Content => format!("mail refused by {place}: {text}"),
        };
        let ours = match step {
            Step::Connect | Step::Starttls | Step::Login => true,
            // 552 and 555 are about this mail, others about who we say we are.
            Step::Sender => !matches!(code, Some(552 | 555)),
            // The server wants a login first, or takes us for a stranger.
            Step::Recipient | Step::Content => {
                matches!(code, Some(530 | 534 | 535 | 538)) || text.to_ascii_lowercase().contains("relay")
            }
        };
        match code {
            Some(500..=599) if !ours => DeliveryError::Permanent(text),
            _ => DeliveryError::Transient(text),
        }
    }
}

/// The addresses that can be used, and what is wrong with the others.
fn recipients(mail: &Mail) -> (Vec<Address>, Vec<String>) {
    let (mut good, mut bad): (Vec<Address>, Vec<String>) = (Vec::new(), Vec::new());
    for text in &mail.to {
        match text.trim().parse::<Mailbox>().map(|mailbox| mailbox.email) {
            Ok(address) if !AsRef::<str>::as_ref(&address).is_ascii() => {
                bad.push(format!("{}: addresses beyond ASCII are not supported", mask(text)));
            }
            Ok(address) if good.contains(&address) => {}
            Ok(address) => good.push(address),
            Err(_) => bad.push(format!("{}: no mail address", mask(text))),
        }
    }
    (good, bad)
}

/// `Auto-Submitted: auto-generated` (RFC 3834): no out-of-office answers, please.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The whole message. The same mail and date always give the same bytes.
fn mime(mail: &Mail, to: &[Address], from: &str, reply_to: &str, date: Millis) -> Result<Vec<u8>, String> {
    let mailbox =
        |field: &str, text: &str| text.parse::<Mailbox>().map_err(|e| format!("{field} is no mail address: {e}"));
    let date = SystemTime::UNIX_EPOCH + Duration::from_millis(date.max(0) as u64);
    let mut builder = Message::builder()
        .message_id(Some(format!("<{}>", mail.message_id)))
        .date(date)
        .from(mailbox("mail.from", from)?)
        .reply_to(mailbox("mail.reply_to", reply_to)?)
        .subject(&mail.subject)
        .header(AutoSubmitted);
    for address in to {
        builder = builder.to(Mailbox::new(None, address.clone()));
    }
    if let Some(first) = &mail.in_reply_to {
        builder = builder.in_reply_to(format!("<{first}>")).references(format!("<{first}>"));
    }
    let boundary = format!("=_{}", mail.message_id.split('@').next().unwrap_or_default());
    let message = builder
        .multipart(
            MultiPart::builder()
                .kind(lettre::message::MultiPartKind::Alternative)
                .boundary(boundary)
                .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(mail.text.clone()))
                .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(mail.html.clone())),
        )
        .map_err(|e| format!("build the message: {e}"))?;
    Ok(message.formatted())
}

/// Writes `DIRECTORY/MESSAGE-ID.eml` whole or not at all; a repeat replaces it.
async fn write_file(directory: &Path, message_id: &str, bytes: &[u8]) -> Result<String, DeliveryError> {
    let name: String =
        message_id.chars().map(|c| if c.is_ascii_alphanumeric() || "@._-".contains(c) { c } else { '_' }).collect();
    let path = directory.join(format!("{}.eml", name.trim_start_matches('.')));
    let fresh = directory.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = async {
        tokio::fs::write(&fresh, bytes).await?;
        tokio::fs::File::open(&fresh).await?.sync_all().await?;
        tokio::fs::rename(&fresh, &path).await
    };
    match written.await {
        Ok(()) => Ok(format!("written to {}", path.display())),
        Err(e) => {
            let _ = tokio::fs::remove_file(&fresh).await;
            Err(DeliveryError::Transient(format!("write `{}`: {e}", path.display())))
        }
    }
}

/// The certificates of a PEM file, each as a text of its own.
fn pem_certificates(pem: &[u8]) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    text.split_inclusive(END)
        .filter_map(|part| part.find("-----BEGIN CERTIFICATE-----").map(|start| part[start..].to_owned()))
        .filter(|part| part.ends_with(END))
        .collect()
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

/// The text with the local part of every mail address cut to its first letter: `a…@example.com`.
pub fn mask(text: &str) -> String {
    let local = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('@').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            out.push_str(part);
            break;
        }
        let start = part.char_indices().rev().find(|(_, c)| !local(*c)).map_or(0, |(i, c)| i + c.len_utf8());
        out.push_str(&part[..start]);
        out.extend(part[start..].chars().next());
        out.push_str("…@");
    }
    out
}
