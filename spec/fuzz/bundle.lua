--- Inputs as files: a line with the target and what the input did, then each part behind a line
-- with its name and length. Owns: this form. Leaves to others: what the parts mean.
local M = {}

--- The bytes of a bundle.
-- @tparam table bundle name → bytes
-- @tparam string target its name
-- @tparam[opt] string reason one line
-- @treturn string
function M.encode(bundle, target, reason)
  local names, list = {}, { ("%s %s\n"):format(target, reason or "-") }
  for name in pairs(bundle) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    list[#list + 1] = ("%s %d\n"):format(name, #bundle[name])
    list[#list + 1] = bundle[name]
    list[#list + 1] = "\n"
  end
  return table.concat(list)
end

--- A bundle from its bytes.
-- @treturn table the bundle
-- @treturn string its target
-- @treturn string the reason
function M.decode(text)
  local target, reason, at = text:match("^(%S+) ([^\n]*)\n()")
  assert(target, "not a bundle: the first line is a target and a reason")
  local bundle = {}
  while at <= #text do
    local name, length, from = text:match("^(%S+) (%d+)\n()", at)
    assert(name, "not a bundle: a part begins with its name and length")
    bundle[name] = text:sub(from, from + length - 1)
    at = from + length + 1
  end
  return bundle, target, reason
end

--- Eight hexadecimal digits that stand for a text (FNV-1a).
function M.hash(text)
  local hash = bit.tobit(0x811c9dc5)
  for i = 1, #text do
    local x = bit.bxor(hash, text:byte(i)) % 2 ^ 32
    hash = bit.tobit((x * 403 + (x % 256) * 2 ^ 24) % 2 ^ 32)
  end
  return bit.tohex(hash)
end

--- One of a list, always the same for the same bytes: what is done with an input that can be read
-- in several ways.
-- @tparam string text
-- @tparam table list
function M.pick(text, list)
  return list[tonumber(M.hash(text:sub(1, 1000) .. #text), 16) % #list + 1]
end

return M
