--- Momentum SAM (Becker et al. 2024, alg. 1): a step's only pass is at w - rho v / ‖v‖, ahead along
-- the base optimizer's momentum v. w itself does not move, so evaluation and saving see no
-- perturbation. It costs no second pass.
local errors = require("fsam.errors")
local radius = require("fsam.sam.radius")
local sam = require("fsam.sam")

local function momentum(s)
  for _, name in ipairs({ "exp_avg", "momentum_buffer" }) do
    if s.base:keeps(name) then
      return s.base[name]
    end
  end
  return errors.raise("msam needs a base optimizer with momentum (state exp_avg or "
    .. "momentum_buffer)")
end

sam.define("msam", {
  options = {
    radius.option(1),
  },
  passes = 1,
  explore = function(s)
    local v = momentum(s)
    return radius.along(v, -s.rho)
  end,
})
