//! What a name has, of all servers and through aliases: addresses of both families, services.

use super::ask::ask;
use super::failure::Failure;
use super::servers::Servers;
use crate::event::{self, Deadline};
use crate::proto::dns::{Kind, Name, Question, Reply, Service};
use crate::sys::addr::Ip;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// Queries that aliases may make of one.
const ALIASES: usize = 8;
/// How long the addresses of one family wait for those of the other, in milliseconds.
const GRACE_MS: u64 = 500;
/// For how many seconds they are good if those have not come.
const HALF_TTL: u32 = 30;

/// Which families are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Families {
    pub v4: bool,
    pub v6: bool,
}

/// Something, for so many seconds.
pub struct Answer<T> {
    pub is: T,
    pub ttl: u32,
}

/// Why there is nothing, and for how many seconds, if a server has said that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    pub failure: Failure,
    pub ttl: Option<u32>,
}

impl From<Failure> for Missing {
    fn from(failure: Failure) -> Missing {
        Missing { failure, ttl: None }
    }
}

pub type Answered<T> = Result<Answer<T>, Missing>;

/// The addresses of a name; both families are asked for at once.
pub async fn addresses(servers: &Servers, name: &Name, wanted: Families) -> Answered<Vec<Ip>> {
    match (wanted.v4, wanted.v6) {
        (true, false) => of_family(servers, name, Kind::A).await,
        (false, _) => of_family(servers, name, Kind::Aaaa).await,
        (true, true) => {
            let v4 = pin!(of_family(servers, name, Kind::A));
            let v6 = pin!(of_family(servers, name, Kind::Aaaa));
            both(v4, v6).await
        }
    }
}

type Slot = Option<Answered<Vec<Ip>>>;

async fn both<F: Future<Output = Answered<Vec<Ip>>>>(
    mut v4: Pin<&mut F>,
    mut v6: Pin<&mut F>,
) -> Answered<Vec<Ip>> {
    let (mut first, mut second): (Slot, Slot) = (None, None);
    let mut grace: Option<Deadline> = None;
    poll_fn(move |context| {
        take(&mut first, v4.as_mut(), context);
        take(&mut second, v6.as_mut(), context);
        if first.is_some() && second.is_some() {
            return Poll::Ready(join(first.take(), second.take()));
        }
        if matches!(first, Some(Ok(_))) || matches!(second, Some(Ok(_))) {
            let until = *grace.get_or_insert_with(|| event::after(GRACE_MS));
            if pin!(event::sleep(until)).poll(context).is_ready() {
                return Poll::Ready(join(first.take(), second.take()));
            }
        }
        Poll::Pending
    })
    .await
}

fn take<F: Future<Output = Answered<Vec<Ip>>>>(
    slot: &mut Slot,
    future: Pin<&mut F>,
    context: &mut Context<'_>,
) {
    if slot.is_none()
        && let Poll::Ready(answered) = future.poll(context)
    {
        *slot = Some(answered);
    }
}

/// Those of both, as far as they are there; at least one has been answered.
fn join(v4: Slot, v6: Slot) -> Answered<Vec<Ip>> {
    match (v4, v6) {
        (Some(Ok(mut all)), Some(Ok(more))) => {
            all.is.extend(more.is);
            all.ttl = all.ttl.min(more.ttl);
            Ok(all)
        }
        (Some(Ok(half)), None) | (None, Some(Ok(half))) => {
            Ok(Answer { ttl: half.ttl.min(HALF_TTL), ..half })
        }
        (Some(Ok(all)), _) | (_, Some(Ok(all))) => Ok(all),
        // What only one of them says may be wrong of the name.
        (Some(Err(one)), Some(Err(other))) => {
            let ttl = one.ttl.into_iter().chain(other.ttl).min();
            let failure = match one.failure {
                Failure::NotFound => other.failure,
                failure => failure,
            };
            Err(Missing { failure, ttl })
        }
        (Some(Err(missing)), None) | (None, Some(Err(missing))) => Err(missing),
        (None, None) => Err(Failure::TimedOut.into()),
    }
}

async fn of_family(servers: &Servers, name: &Name, kind: Kind) -> Answered<Vec<Ip>> {
    match chase(servers, name, kind).await? {
        (Reply::Addresses { addresses, ttl }, chain) => {
            Ok(Answer { is: addresses, ttl: ttl.min(chain) })
        }
        _ => Err(Failure::ServerFailed.into()),
    }
}

/// Where a service is (RFC 2782).
pub async fn services(servers: &Servers, name: &Name) -> Answered<Vec<Service>> {
    match chase(servers, name, Kind::Srv).await? {
        (Reply::Services { services, ttl }, chain) => {
            Ok(Answer { is: services, ttl: ttl.min(chain) })
        }
        _ => Err(Failure::ServerFailed.into()),
    }
}

/// What a name has, or the one that it is an alias of; and the least TTL on the way.
async fn chase(servers: &Servers, name: &Name, kind: Kind) -> Result<(Reply, u32), Missing> {
    let mut question = Question { name: *name, kind };
    let mut chain = u32::MAX;
    for _ in 0..ALIASES {
        match ask(servers, &question).await? {
            Reply::Alias { name, ttl } => {
                question.name = *name;
                chain = chain.min(ttl);
            }
            Reply::Nothing { ttl } => {
                return Err(Missing { failure: Failure::NotFound, ttl });
            }
            reply => return Ok((reply, chain)),
        }
    }
    Err(Failure::ServerFailed.into())
}
