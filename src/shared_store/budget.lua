-- A token bucket that replicas share, by Redis' clock.
--
-- KEYS[1]: a hash with the bucket (tokens, at, pause, careful, seq), and a field for each replica:
-- calls that it has made so far, permits that it holds, when it was last seen, and its ticket while
-- it waits.
-- ARGV: replica, calls made so far, permits held, permits wanted, calls a second, burst, how full
-- its own share is (0 to 1), the pause in milliseconds that eGain asked for, how many replicas there
-- should be, and whether this one has just come back from working with its own share.
--
-- All of a replica's numbers are totals, so a report that was lost, or arrived twice, changes nothing.

local DEAD = 3000000 -- Permits held for longer than any call takes count as calls made.
local STALE = 1500000 -- A replica that waits reports more often.
-- When one replica is back after an outage, the others follow within this time. Until then each
-- that isn't back yet still works with its own share.
local CAREFUL = 10000000
local FORGOTTEN = 3600000000
local DAY = 86400000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local me = 'replica:' .. ARGV[1]
local spent, held, want = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local rate, burst = tonumber(ARGV[5]) / 1000000, tonumber(ARGV[6])

local level, replicas, returned = tonumber(ARGV[7]), tonumber(ARGV[9]), ARGV[10] == '1'

local bucket = { tokens = -1, at = now, pause = 0, careful = 0, seq = 0 }
local is_known, own_spent, own_ticket, seen_lately = false, spent, 0, 1
local held_by_others, lost, tickets = 0, 0, {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if bucket[name] then
        bucket[name] = tonumber(value)
    else
        local s, h, seen, ticket = string.match(value, '(%S+) (%S+) (%S+) (%S+)')
        local age = now - tonumber(seen)
        h, ticket = tonumber(h), tonumber(ticket)
        if name ~= me and age < CAREFUL then
            seen_lately = seen_lately + 1
        end
        if name == me then
            is_known = true
            own_spent, own_ticket = tonumber(s), ticket
        elseif age > FORGOTTEN then
            redis.call('HDEL', KEYS[1], name)
        elseif age > DEAD then
            lost = lost + h
            if h > 0 then
                redis.call('HSET', KEYS[1], name, s .. ' 0 ' .. seen .. ' 0')
            end
        else
            held_by_others = held_by_others + h
            if ticket > 0 and age < STALE then
                tickets[#tickets + 1] = ticket
            end
        end
    end
end

local careful = bucket.careful
if returned then
    careful = now + CAREFUL
    -- Until now it has worked with its own share.
    seen_lately = seen_lately - 1
end
local earns = rate
if now < careful then
    earns = rate * math.min(1, seen_lately / replicas)
end
local tokens = bucket.tokens
if tokens < 0 and not returned then
    tokens = level * burst
elseif returned and not is_known then
    -- Redis has forgotten the bucket: it is what the replicas bring.
    tokens = math.max(0, tokens) + level * burst / replicas
end
tokens = math.min(burst, tokens + math.max(0, now - bucket.at) * earns)
tokens = math.max(0, tokens - (spent - own_spent) - lost)
local at, pause = math.max(bucket.at, now), bucket.pause
local asked = tonumber(ARGV[8]) * 1000
if asked > 0 then
    -- One call goes when the pause is over, and the others at the usual rate after it.
    pause = math.max(pause, now + asked)
    tokens, at = 1, pause
end

-- Replicas take turns: one permit is left to each that has waited for longer.
local ahead = 0
for _, ticket in ipairs(tickets) do
    if own_ticket == 0 or ticket < own_ticket then
        ahead = ahead + 1
    end
end
local free = tokens - held_by_others - held
local granted = 0
if want > 0 and now >= pause then
    granted = math.max(0, math.floor(math.min(want, free - ahead + 0.000001)))
end
local ticket, seq, wait = 0, bucket.seq, 0
if granted < want then
    ticket = own_ticket
    if granted > 0 or own_ticket == 0 then
        seq = seq + 1
        ticket, ahead = seq, #tickets
    end
    wait = math.max(0, (1 + ahead - (free - granted)) / rate, pause - now)
end

local function whole(number)
    return string.format('%.0f', number)
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', whole(at),
    'pause', whole(pause), 'careful', whole(careful), 'seq', whole(seq), me,
    whole(spent) .. ' ' .. whole(held + granted) .. ' ' .. whole(now) .. ' ' .. whole(ticket))
redis.call('PEXPIRE', KEYS[1], DAY)
local waiting = #tickets
if ticket > 0 then
    waiting = waiting + 1
end
return { granted, math.ceil(wait), waiting, math.ceil(math.max(0, pause - now)),
    math.floor(math.max(0, free - granted)) }
