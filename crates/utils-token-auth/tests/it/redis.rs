//! The worked example of the guide: a session store of one's own, in Redis.
//!
//! Redis runs a script as one atomic step, which is what the contract asks for; so every method is one script. A
//! session is a hash; a set for each user and three sorted sets stand in for the indexes.
use redis::{Client as Redis, RedisResult, Script, aio::MultiplexedConnection};
use serde::{Deserialize, Serialize};
use utils_testing::token_auth::{check_races, check_session_store};
use utils_token_auth::{Client, LiveAt, Purge, Revoked, Rotate, Session, Sid, Store, Which, Why};

#[derive(Clone)]
struct RedisStore {
    connection: MultiplexedConnection,
    /// Begins every key; in braces, so that a cluster keeps them on one node.
    prefix: String,
}

/// What never changes in a session, as one JSON text.
#[derive(Serialize, Deserialize)]
struct Fixed {
    user: String,
    data: serde_json::Value,
    scopes: std::collections::BTreeMap<String, Vec<String>>,
    secret_hash: [u8; 32],
    created_at: i64,
    label: Option<String>,
}

const INSERT: &str = r"
local session, user = KEYS[1] .. 's:' .. ARGV[1], KEYS[1] .. 'u:' .. ARGV[2]
if redis.call('EXISTS', session) == 1 then return redis.error_reply('there is a session with this id') end
redis.call('HSET', session, 'user', ARGV[2], 'fixed', ARGV[3], 'generation', ARGV[4], 'renewed_at', ARGV[5],
    'expires_at', ARGV[6], 'ip', ARGV[7], 'user_agent', ARGV[8], 'revoked_at', ARGV[9], 'revoked_why', ARGV[10])
redis.call('SADD', user, ARGV[1])
if ARGV[9] == '' then
    redis.call('ZADD', KEYS[1] .. 'expires', ARGV[6], ARGV[1])
    redis.call('ZADD', KEYS[1] .. 'renewed', ARGV[5], ARGV[1])
else
    redis.call('ZADD', KEYS[1] .. 'revoked', ARGV[9], ARGV[1])
end";

const GET: &str = "return redis.call('HGETALL', KEYS[1] .. 's:' .. ARGV[1])";

const ROTATE: &str = r"
local session = KEYS[1] .. 's:' .. ARGV[1]
local row = redis.call('HMGET', session, 'generation', 'revoked_at', 'expires_at', 'renewed_at')
if row[1] ~= ARGV[2] or row[2] ~= '' or tonumber(row[3]) <= tonumber(ARGV[4])
    or tonumber(row[4]) < tonumber(ARGV[5]) then return 0 end
redis.call('HSET', session, 'generation', ARGV[3], 'renewed_at', ARGV[4], 'ip', ARGV[6], 'user_agent', ARGV[7])
redis.call('ZADD', KEYS[1] .. 'renewed', ARGV[4], ARGV[1])
return 1";

const REVOKE: &str = r"
local count = 0
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1] .. 'u:' .. ARGV[1])) do
    local session = KEYS[1] .. 's:' .. id
    local meant = ARGV[2] == 'all' or (ARGV[2] == 'one') == (id == ARGV[3])
    if meant and redis.call('HGET', session, 'revoked_at') == '' then
        redis.call('HSET', session, 'revoked_at', ARGV[4], 'revoked_why', ARGV[5])
        redis.call('ZADD', KEYS[1] .. 'revoked', ARGV[4], id)
        redis.call('ZREM', KEYS[1] .. 'expires', id)
        redis.call('ZREM', KEYS[1] .. 'renewed', id)
        count = count + 1
    end
end
return count";

const LIST: &str = r"
local rows = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1] .. 'u:' .. ARGV[1])) do
    rows[#rows + 1] = { id, redis.call('HGETALL', KEYS[1] .. 's:' .. id) }
end
return rows";

const REVOKED_SINCE: &str =
    "return redis.call('ZRANGE', KEYS[1] .. 'revoked', ARGV[1], '+inf', 'BYSCORE', 'WITHSCORES')";

const PURGE: &str = r"
local ids = redis.call('ZRANGE', KEYS[1] .. 'revoked', '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[3])
if #ids == 0 then
    ids = redis.call('ZRANGE', KEYS[1] .. 'expires', '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[3])
end
if #ids == 0 then
    ids = redis.call('ZRANGE', KEYS[1] .. 'renewed', '-inf', '(' .. ARGV[2], 'BYSCORE', 'LIMIT', 0, ARGV[3])
end
for _, id in ipairs(ids) do
    redis.call('SREM', KEYS[1] .. 'u:' .. redis.call('HGET', KEYS[1] .. 's:' .. id, 'user'), id)
    redis.call('DEL', KEYS[1] .. 's:' .. id)
    for _, index in ipairs({ 'revoked', 'expires', 'renewed' }) do redis.call('ZREM', KEYS[1] .. index, id) end
end
return #ids";

type Fields = std::collections::HashMap<String, String>;

impl RedisStore {
    async fn open(url: &str, prefix: &str) -> RedisResult<Self> {
        let connection = Redis::open(url)?.get_multiplexed_async_connection().await?;
        Ok(Self { connection, prefix: format!("{{{prefix}}}") })
    }

    async fn run<T: redis::FromRedisValue>(&self, script: &str, arguments: &[String]) -> RedisResult<T> {
        let script = Script::new(script);
        let mut call = script.key(&self.prefix);
        for argument in arguments {
            call.arg(argument);
        }
        call.invoke_async(&mut self.connection.clone()).await
    }
}

fn damaged(cause: impl std::fmt::Display) -> redis::RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "a session is damaged", cause.to_string()).into()
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn session(id: Sid, fields: &Fields) -> RedisResult<Session> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let number = |name: &str| field(name).parse::<i64>().map_err(damaged);
    let given = |name: &str| Some(field(name).to_owned()).filter(|text| !text.is_empty());
    let fixed: Fixed = serde_json::from_str(field("fixed")).map_err(damaged)?;
    let revoked = match field("revoked_at") {
        "" => None,
        _ => {
            let why = field("revoked_why").parse().ok().and_then(Why::from_code).unwrap_or(Why::Admin);
            Some(Revoked { at: number("revoked_at")?, why })
        }
    };
    Ok(Session {
        id,
        user: fixed.user,
        data: fixed.data,
        scopes: fixed.scopes,
        secret_hash: fixed.secret_hash,
        generation: field("generation").parse().map_err(damaged)?,
        created_at: fixed.created_at,
        renewed_at: number("renewed_at")?,
        expires_at: number("expires_at")?,
        revoked,
        client: Client { ip: field("ip").parse().ok(), user_agent: given("user_agent"), label: fixed.label },
    })
}

impl Store for RedisStore {
    type Error = redis::RedisError;

    async fn insert(&self, session: Session) -> RedisResult<()> {
        let fixed = Fixed {
            user: session.user.clone(),
            data: session.data,
            scopes: session.scopes,
            secret_hash: session.secret_hash,
            created_at: session.created_at,
            label: session.client.label,
        };
        let arguments = [
            session.id.to_string(),
            session.user,
            serde_json::to_string(&fixed).map_err(damaged)?,
            session.generation.to_string(),
            session.renewed_at.to_string(),
            session.expires_at.to_string(),
            text(session.client.ip),
            text(session.client.user_agent),
            text(session.revoked.map(|revoked| revoked.at)),
            text(session.revoked.map(|revoked| revoked.why.code())),
        ];
        self.run(INSERT, &arguments).await
    }

    async fn get(&self, id: Sid) -> RedisResult<Option<Session>> {
        let fields: Fields = self.run(GET, &[id.to_string()]).await?;
        if fields.is_empty() { Ok(None) } else { session(id, &fields).map(Some) }
    }

    async fn rotate(&self, rotate: Rotate) -> RedisResult<bool> {
        let arguments = [
            rotate.id.to_string(),
            rotate.from.to_string(),
            rotate.to.to_string(),
            rotate.live.now.to_string(),
            rotate.live.idle_since.to_string(),
            text(rotate.client.ip),
            text(rotate.client.user_agent),
        ];
        self.run(ROTATE, &arguments).await
    }

    async fn revoke(&self, which: Which<'_>, why: Why, at: i64) -> RedisResult<usize> {
        let (kind, id) = match which {
            Which::One { id, .. } => ("one", Some(id)),
            Which::Others { keep, .. } => ("others", Some(keep)),
            Which::All { .. } => ("all", None),
        };
        let arguments =
            [which.user().to_owned(), kind.to_owned(), text(id), at.to_string(), why.code().to_string()];
        self.run(REVOKE, &arguments).await
    }

    async fn list(&self, user: &str, live: LiveAt) -> RedisResult<Vec<Session>> {
        let rows: Vec<(String, Fields)> = self.run(LIST, &[user.to_owned()]).await?;
        let mut sessions = Vec::new();
        for (id, fields) in rows {
            let session = session(id.parse().map_err(damaged)?, &fields)?;
            if live.holds(&session) {
                sessions.push(session);
            }
        }
        sessions.sort_by_key(|session| std::cmp::Reverse((session.renewed_at, session.id)));
        Ok(sessions)
    }

    async fn revoked_since(&self, at: i64) -> RedisResult<Vec<(Sid, i64)>> {
        let rows: Vec<(String, i64)> = self.run(REVOKED_SINCE, &[at.to_string()]).await?;
        rows.into_iter().map(|(id, at)| Ok((id.parse().map_err(damaged)?, at))).collect()
    }

    async fn purge(&self, purge: Purge) -> RedisResult<usize> {
        let arguments =
            [purge.ended_before.to_string(), purge.idle_before.to_string(), purge.limit.to_string()];
        self.run(PURGE, &arguments).await
    }
}

#[actix_web::test]
async fn redis_keeps_the_contract() {
    let url = std::env::var("TEST_REDIS_URL")
        .expect("TEST_REDIS_URL must name a Redis server, such as redis://127.0.0.1:6379");
    let prefix = format!("token-auth-{}", Sid::random().unwrap());
    let open = || async { RedisStore::open(&url, &prefix).await.unwrap() };
    check_session_store(&open).await;
    let report = check_races(&open, 16, crate::stores::race_rounds()).await;
    assert_eq!(report.renewals, 16 * report.rotations);
    crate::stores::show(&report);

    let store = open().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("{{{prefix}}}*"))
        .query_async(&mut store.connection.clone())
        .await
        .unwrap();
    assert!(!keys.is_empty());
    let _: () = redis::cmd("DEL").arg(keys).query_async(&mut store.connection.clone()).await.unwrap();
}
