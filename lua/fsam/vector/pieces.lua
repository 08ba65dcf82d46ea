--- Pieces of names: how a flag such as --freeze says which parameters it means. Owns: what a piece
-- matches, and the refusal of one that matches nothing. Leaves to others: what is done with the
-- parameters (the caller).
--
-- A name's components lie between dots and underscores. A piece is plain text that begins where a
-- component begins, so `bias`, `embed`, `LayerNorm` and `encoder.layer` match. A number in it is a
-- whole number: `layer.1` is not part of `layer.10`.
local errors = require("fsam.errors")

local M = {}

-- Does the piece stand at this place of the name?
local function fits(name, first, last)
  local whole_word = first == 1 or name:find("^[._]", first - 1) or name:find("^[._]", first)
  return whole_word and not (name:find("^%d", last) and name:find("^%d", last + 1))
end

local function matches(name, piece)
  local first, last = name:find(piece, 1, true)
  while first do
    if fits(name, first, last) then
      return true
    end
    first, last = name:find(piece, first + 1, true)
  end
  return false
end

--- Is one of the pieces (nil: none) part of a parameter's name?
-- @tparam string name
-- @tparam ?{string,…} pieces
function M.match(name, pieces)
  for _, piece in ipairs(pieces or {}) do
    if matches(name, piece) then
      return true
    end
  end
  return false
end

-- What a mistyped piece may have meant: up to four neighbouring components of a name.
local function candidates(parameters)
  local list, known = {}, {}
  for _, parameter in ipairs(parameters) do
    local components = {}
    for component in parameter.name:gmatch("[^.]+") do
      components[#components + 1] = component
    end
    for first = 1, #components do
      for last = first, math.min(first + 3, #components) do
        local text = table.concat(components, ".", first, last)
        if not known[text] then
          known[text], list[#list + 1] = true, text
        end
      end
    end
  end
  return list
end

--- Raises unless each piece is part of some parameter's name.
-- @tparam string flag as the user wrote it ("--freeze")
-- @tparam ?{string,…} pieces
-- @tparam {table,…} parameters each with a name
function M.check(flag, pieces, parameters)
  for _, piece in ipairs(pieces or {}) do
    local found = false
    for _, parameter in ipairs(parameters) do
      found = found or matches(parameter.name, piece)
    end
    if not found then
      local near = errors.nearest(piece, candidates(parameters))
      errors.raise("%s %s is part of no parameter's name; %snames look like %s", flag, piece,
        near and "did you mean " .. near .. "? " or "", parameters[1].name)
    end
  end
end

return M
