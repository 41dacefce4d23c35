-- Takes over what replicas that died have left to do.
--
-- KEYS[1]: the set of replicas that have a journal.
-- ARGV: this replica, the beginning of names of liveness keys, of journals, and of the times of
-- what was uncommitted, then now and the least age of what was uncommitted, in milliseconds.
-- Returns for each entry its value and whether it was uncommitted (1).

local MOST = 1000
local me, alive, journal, times = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local before = tonumber(ARGV[5]) - tonumber(ARGV[6])
local claimed = {}
for _, replica in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if replica ~= me and redis.call('EXISTS', alive .. replica) == 0 then
        local entries = redis.call('HGETALL', journal .. replica)
        for i = 1, #entries, 2 do
            local name, value = entries[i], entries[i + 1]
            local since = redis.call('ZSCORE', times .. replica, name)
            if #claimed < 2 * MOST and (not since or tonumber(since) <= before) then
                claimed[#claimed + 1] = value
                claimed[#claimed + 1] = since and 1 or 0
                redis.call('HSET', journal .. me, name, value)
                redis.call('HDEL', journal .. replica, name)
                if since then
                    redis.call('ZADD', times .. me, since, name)
                    redis.call('ZREM', times .. replica, name)
                end
            end
        end
        if redis.call('EXISTS', journal .. replica) == 0 then
            redis.call('DEL', times .. replica)
            redis.call('SREM', KEYS[1], replica)
        end
    end
end
if #claimed > 0 then
    redis.call('SADD', KEYS[1], me)
end
return claimed
