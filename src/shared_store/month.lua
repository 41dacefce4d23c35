-- The calls of a month by all replicas, by operation.
--
-- KEYS[1]: a hash with the totals, and what each replica has told.
-- ARGV: replica, then for each operation: its calls since the replica's start, those of them that it
-- has told before, and the total that it knows.
--
-- All of a replica's numbers are totals, so one that was lost, or arrived twice, changes nothing.

local LIVES = 5356800000 -- 62 days

local function numbers(text)
    local found = {}
    for number in string.gmatch(text or '', '%d+') do
        found[#found + 1] = tonumber(number)
    end
    return found
end

local me = 'replica:' .. ARGV[1]
local record = redis.call('HGET', KEYS[1], me)
local told, totals = numbers(record), numbers(redis.call('HGET', KEYS[1], 'totals'))
local calls = {}
for i = 1, (#ARGV - 1) / 3 do
    local at = 3 * i - 1
    local made, told_before = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    local known = tonumber(ARGV[at + 2])
    -- Where Redis has forgotten the month, a replica that still knows the total brings it back.
    totals[i] = math.max(totals[i] or 0, known) + made - (told[i] or told_before)
    calls[i] = made
end

local function list(of)
    local texts = {}
    for i, number in ipairs(of) do
        texts[i] = string.format('%.0f', number)
    end
    return table.concat(texts, ' ')
end
redis.call('HSET', KEYS[1], 'totals', list(totals), me, list(calls))
redis.call('PEXPIRE', KEYS[1], LIVES)
return totals
