--- The grammar of the built-in acceptability corpus: six phenomena. Each is a function (draw) →
-- good, bad, which draws a pair of sentences, one acceptable and one not (draw: draw.lua).
--
-- The two differ in where words stand or in how two of them fit. Each phenomenon is
-- counterbalanced: what makes one pair acceptable makes another unacceptable. So a word by itself
-- tells nothing about the label. Neighbouring words tell little, because the words that must fit
-- are kept apart, and the words between them are drawn from both sides. A share of each phenomenon
-- is short, with nothing between; a model learns these sentences first.
--
-- The phenomena and their names follow the literature on targeted evaluation (Linzen et al. 2016;
-- Marvin & Linzen 2018; Warstadt et al. 2020).

local M = {}

local function join(...)
  return table.concat({ ... }, " ")
end

-- Shapes of subjects, as { percent, fn(draw, head's number, attractor's number) }. The attractor is
-- a noun between the head and the verb; the first shape has none.
local SUBJECTS = {
  { 20, function(d, head)
    return join("the", d:noun(head))
  end },
  { 40, function(d, head, attractor)
    return join("the", d:noun(head), d:word("preposition"), "the", d:noun(attractor))
  end },
  { 20, function(d, head, attractor)
    return join("the", d:noun(head), "that the", d:noun(attractor), d:past("transitive"))
  end },
  { 20, function(d, head, attractor)
    return join("the", d:noun(head), "that", d:past("transitive"), "the", d:noun(attractor))
  end },
}

--- Subject and verb agree across attractors: "the keys to the cabinet are lost", "*… is lost".
function M.agreement(d)
  local head = d:number()
  local subject = d:weighted(SUBJECTS)(d, head, d:differing(head, 60))
  local singular, plural
  if d:chance(50) then
    local adjective = d:word("adjective")
    singular, plural = join("is", adjective), join("are", adjective)
  else
    local verb = d:word("intransitive")
    singular, plural = verb .. "s", verb
  end
  if head == "singular" then
    return join(subject, singular), join(subject, plural)
  end
  return join(subject, plural), join(subject, singular)
end

--- Determiner and noun agree across adjectives: "the doctor visited these old boats", "*this old
-- boats". The other noun is mostly of the other number.
function M.determiner(d)
  local number = d:number()
  local words = {}
  for _ = 1, d:weighted({ { 25, 0 }, { 65, 1 }, { 10, 2 } }) do
    words[#words + 1] = d:word("adjective")
  end
  words[#words + 1] = d:noun(number)
  local rest = table.concat(words, " ")
  local good, bad = join("this", rest), join("these", rest)
  if number == "plural" then
    good, bad = bad, good
  end
  local verb = d:past("transitive")
  local other = d:chance(20) and d:name() or join("the", d:noun(d:differing(number, 75)))
  if d:chance(50) then
    return join(other, verb, good), join(other, verb, bad)
  end
  return join(good, verb, other), join(bad, verb, other)
end

-- Clauses without their reflexive. `near` is the reflexive that fits the clause's subject; `far` is
-- one that fits another phrase, before or after it.
local CLAUSES = {
  { 45, function(d, near)
    return join(d:binder(near), d:past("transitive"))
  end },
  { 25, function(d, near, far)
    return join(d:binder(near), d:word("preposition"), d:binder(far), d:past("transitive"))
  end },
  { 10, function(d, near, far)
    return join(d:binder(near), "that", d:binder(far), d:past("transitive"), d:past("transitive"))
  end },
  { 20, function(d, near, far)
    return join(d:binder(far), "claimed", d:binder(near), d:past("transitive"))
  end },
}

--- A reflexive agrees with the subject of its own clause: "the boy near the girls helped himself",
-- "*… helped themselves"; "the boy claimed mary helped herself", "*… helped himself".
function M.reflexive(d)
  local near, far = d:word("reflexive"), d:word("reflexive")
  local clause = d:weighted(CLAUSES)(d, near, far)
  return join(clause, near), join(clause, far)
end

-- Each returns a good and a bad sentence; in the first two shapes both have the same words.
local FRAMES = {
  { 20, function(d) -- if mary laughed john greeted susan; *if mary greeted john laughed susan
    local when, a, b, c = d:word("conjunction"), d:name(), d:name(), d:name()
    local intransitive, transitive = d:past("intransitive"), d:past("transitive")
    return join(when, a, intransitive, b, transitive, c), join(when, a, transitive, b,
      intransitive, c)
  end },
  { 20, function(d) -- if mary greeted john susan laughed; *if mary laughed john susan greeted
    local when, a, b, c = d:word("conjunction"), d:name(), d:name(), d:name()
    local intransitive, transitive = d:past("intransitive"), d:past("transitive")
    return join(when, a, transitive, b, c, intransitive), join(when, a, intransitive, b, c,
      transitive)
  end },
  { 15, function(d) -- mary handed john the keys; *mary greeted john the keys
    local a, b, thing = d:name(), d:name(), join("the", d:noun(d:number()))
    return join(a, d:past("ditransitive"), b, thing), join(a, d:past("transitive"), b, thing)
  end },
  { 15, function(d) -- mary greeted john near the keys; *mary handed john near the keys
    local a, b = d:name(), d:name()
    local place = join(d:word("preposition"), "the", d:noun(d:number()))
    return join(a, d:past("transitive"), b, place), join(a, d:past("ditransitive"), b, place)
  end },
  { 15, function(d) -- mary laughed; *mary greeted
    local a = d:phrase()
    return join(a, d:past("intransitive")), join(a, d:past("transitive"))
  end },
  { 15, function(d) -- mary greeted john; *mary laughed john
    local a, b = d:phrase(), d:name()
    return join(a, d:past("transitive"), b), join(a, d:past("intransitive"), b)
  end },
}

--- A verb has the objects that its class asks for: none, one or two.
function M.argument(d)
  return d:weighted(FRAMES)(d)
end

-- Each returns a sentence with a negation that commands its end, and the same words with a negation
-- that does not.
local NEGATIONS = {
  { 30, function(d)
    local rest = join(d:noun(d:number()), d:past("intransitive"))
    return join("no", rest), join("the", rest)
  end },
  { 35, function(d)
    local a, preposition, b = d:noun(d:number()), d:word("preposition"), d:noun(d:number())
    local verb = d:past("intransitive")
    return join("no", a, preposition, "the", b, verb), join("the", a, preposition, "no", b, verb)
  end },
  { 15, function(d)
    local a, b, inner = d:noun(d:number()), d:noun(d:number()), d:past("transitive")
    local verb = d:past("intransitive")
    return join("no", a, "that the", b, inner, verb), join("the", a, "that no", b, inner, verb)
  end },
  { 20, function(d)
    local a, b = d:noun(d:number()), d:noun(d:number())
    local inner, verb = d:past("transitive"), d:past("intransitive")
    return join("no", a, "that", inner, "the", b, verb), join("the", a, "that", inner, "no", b,
      verb)
  end },
}

--- Polarity items need, or forbid, a negation that commands them: "no guest that the king saw
-- laughed yet", "*the guest that no king saw laughed yet"; with "already" the other way round.
function M.polarity(d)
  local commanding, idle = d:weighted(NEGATIONS)(d)
  if d:chance(50) then
    local item = d:word("negative_item")
    return join(commanding, item), join(idle, item)
  end
  local item = d:word("positive_item")
  return join(idle, item), join(commanding, item)
end

-- Questions out of a relative clause or a clause of time. Controls make their parts uninformative:
-- the same clauses with a filled gap, and without a question word.
local QUESTIONS = {
  { 22, function(d, a) -- who did the doctor that greeted mary visit; *… that greeted visit mary
    local inner, verb = d:past("transitive"), d:word("transitive")
    local head = join("who did the", d:noun(d:number()), "that", inner)
    return join(head, a, verb), join(head, verb, a)
  end },
  { 11, function(d, a, b) -- who did the doctor that mary greeted visit; *… visit john
    local text = join("who did the", d:noun(d:number()), "that", a, d:past("transitive"),
      d:word("transitive"))
    return text, join(text, b)
  end },
  { 14, function(d, a, b) -- did the doctor that mary greeted visit john; *… visit
    local text = join("did the", d:noun(d:number()), "that", a, d:past("transitive"),
      d:word("transitive"))
    return join(text, b), text
  end },
  { 8, function(d, a, b) -- did the doctor that greeted mary visit john; *… visit
    local text = join("did the", d:noun(d:number()), "that", d:past("transitive"), a,
      d:word("transitive"))
    return join(text, b), text
  end },
  { 27, function(d, a, b) -- who can mary greet if john can laugh; *… laugh if john can greet
    local can, when = d:word("modal"), d:word("conjunction")
    local transitive, intransitive = d:word("transitive"), d:word("intransitive")
    return join("who", can, a, transitive, when, b, can, intransitive),
      join("who", can, a, intransitive, when, b, can, transitive)
  end },
  { 18, function(d, a, b) -- can mary laugh if john can greet anna; *… greet if john can laugh
    local can, when = d:word("modal"), d:word("conjunction")
    local transitive, intransitive = d:word("transitive"), d:word("intransitive")
    return join(can, a, intransitive, when, b, can, transitive, d:name()),
      join(can, a, transitive, when, b, can, intransitive)
  end },
}

--- A question word may stand for an object of the main clause, not for one inside an island.
function M.island(d)
  return d:weighted(QUESTIONS)(d, d:name(), d:name())
end

return M
