--- proto
local lexicon = require("fsam.data.acceptability.lexicon")
local M = {}

local function opposite(number) return number == "singular" and "plural" or "singular" end
local function noun(stem, number) return number == "plural" and stem .. "s" or stem end
local function finite(stem, number) return number == "plural" and stem or stem .. "s" end
local function past(stem) return stem .. "ed" end
local function s(...) return table.concat({ ... }, " ") end

local function person(d) return d:fresh(lexicon.nouns) end
local function kin(d) return d:fresh(lexicon.people[d:pick({"himself","herself"})]) end
local function name(d) return d:fresh(lexicon.names[d:pick({"himself","herself"})]) end
local function anynoun(d) return d:fresh(lexicon.nouns) end
local function number(d) return d:pick({ "singular", "plural" }) end
local function tr(d) return d:fresh(lexicon.transitive) end
local function intr(d) return d:fresh(lexicon.intransitive) end
local function np(d)  -- name or the N
  do return name(d) end
end

local P = {}
M.table = P

function P.agreement(d)
  local n = number(d)
  local m = d:chance(60) and opposite(n) or n
  local copula = d:chance(50)
  local first, second = anynoun(d), anynoun(d)
  local subject
  local t = d:percent()
  if t < 20 then
    subject = s("the", noun(first, n))
  elseif t < 60 then
    subject = s("the", noun(first, n), d:pick(lexicon.prepositions), "the", noun(second, m))
  elseif t < 80 then
    subject = s("the", noun(first, n), "that the", noun(person(d), m), past(tr(d)))
  else
    subject = s("the", noun(person(d), n), "that", past(tr(d)), "the", noun(second, m))
  end
  local a, b
  if copula then
    local adj = d:fresh(lexicon.adjectives)
    a, b = "is " .. adj, "are " .. adj
  else
    local v = intr(d)
    a, b = finite(v, "singular"), finite(v, "plural")
  end
  if n == "plural" then a, b = b, a end
  return s(subject, a), s(subject, b)
end

function P.determiner(d)
  local n = number(d)
  local m = d:chance(75) and opposite(n) or n
  local thing = anynoun(d)
  local t = d:percent()
  local adj = {}
  for _ = 1, t < 25 and 0 or t < 90 and 1 or 2 do adj[#adj + 1] = d:fresh(lexicon.adjectives) end
  adj[#adj + 1] = noun(thing, n)
  local rest = table.concat(adj, " ")
  local good = s(n == "plural" and "these" or "this", rest)
  local bad = s(n == "plural" and "this" or "these", rest)
  local verb = past(tr(d))
  local other = d:chance(20) and name(d) or s("the", noun(person(d), m))
  if d:chance(50) then return s(other, verb, good), s(other, verb, bad) end
  return s(good, verb, other), s(bad, verb, other)
end

local KINDS = { "himself", "herself", "themselves" }
local function antecedent(d, kind, may_be_name)
  if kind == "themselves" then return s("the", noun(kin(d), "plural")) end
  if may_be_name and d:chance(50) then return d:fresh(lexicon.names[kind]) end
  return s("the", d:fresh(lexicon.people[kind]))
end
function P.reflexive(d)
  local kind = d:fresh(KINDS)
  local other = d:fresh(KINDS)
  local t = d:percent()
  local text
  if t < 35 then
    text = s(antecedent(d, kind, true), past(tr(d)))
  elseif t < 60 then
    text = s(antecedent(d, kind), d:pick(lexicon.prepositions), antecedent(d, other, true), past(tr(d)))
  elseif t < 70 then
    text = s(antecedent(d, kind), "that", antecedent(d, other, true), past(tr(d)), past(tr(d)))
  else
    text = s(antecedent(d, other, true), "claimed", antecedent(d, kind, true), past(tr(d)))
  end
  return s(text, kind), s(text, other)
end

function P.argument(d)
  local t = d:percent()
  local a, b, c = np(d), np(d), np(d)
  if t < 40 then
    local when = d:pick({ "when", "if" })
    local i, v = past(intr(d)), past(tr(d))
    if d:chance(50) then
      return s(when, a, i, b, v, c), s(when, a, v, b, i, c)
    end
    return s(when, a, v, b, c, i), s(when, a, i, b, c, v)
  elseif t < 70 then
    local di, v = past(d:fresh(lexicon.ditransitive)), past(tr(d))
    local thing = s("the", noun(d:fresh(lexicon.things), number(d)))
    if d:chance(50) then
      return s(a, di, b, thing), s(a, v, b, thing)
    end
    local p = d:pick(lexicon.prepositions)
    return s(a, v, b, p, thing), s(a, di, b, p, thing)
  else
    local i, v = past(intr(d)), past(tr(d))
    if d:chance(50) then return s(a, i), s(a, v) end
    return s(a, v, b), s(a, i, b)
  end
end

function P.polarity(d)
  local t = d:percent()
  local negative = d:chance(50)
  local item = d:pick(negative and lexicon.negative_items or lexicon.positive_items)
  local n1, n2 = noun(person(d), number(d)), noun(person(d), number(d))
  local v = past(intr(d))
  local x, y
  if t < 30 then
    x, y = s("no", n1, v, item), s("the", n1, v, item)
  elseif t < 65 then
    local p = d:pick(lexicon.prepositions)
    x, y = s("no", n1, p, "the", n2, v, item), s("the", n1, p, "no", n2, v, item)
  elseif t < 80 then
    local w = past(tr(d))
    x, y = s("no", n1, "that the", n2, w, v, item), s("the", n1, "that no", n2, w, v, item)
  else
    local w = past(tr(d))
    x, y = s("no", n1, "that", w, "the", n2, v, item), s("the", n1, "that", w, "no", n2, v, item)
  end
  if negative then return x, y end
  return y, x
end

function P.island(d)
  local t = d:percent()
  local a, b = name(d), name(d)
  local v, w = tr(d), tr(d)
  if t < 55 then
    local n = s("the", noun(person(d), number(d)))
    local u = d:percent()
    if u < 40 then
      return s("who did", n, "that", past(v), a, w), s("who did", n, "that", past(v), w, a)
    elseif u < 60 then
      return s("who did", n, "that", a, past(v), w), s("who did", n, "that", a, past(v), w, b)
    elseif u < 85 then
      return s("did", n, "that", a, past(v), w, b), s("did", n, "that", a, past(v), w)
    end
    return s("did", n, "that", past(v), a, w, b), s("did", n, "that", past(v), a, w)
  else
    local m = d:pick(lexicon.modals)
    local when = d:pick({ "when", "if" })
    local i = intr(d)
    if d:chance(60) then
      return s("who", m, a, v, when, b, m, i), s("who", m, a, i, when, b, m, v)
    end
    return s(m, a, i, when, b, m, v, name(d)), s(m, a, v, when, b, m, i)
  end
end
M.order = { "agreement", "determiner", "reflexive", "argument", "polarity", "island" }
return M
