# Golden values of tests/omics/test_outcome_golden.py, with Debian's r-base-core, r-cran-survival and r-cran-cmprsk:
#   cd tests/omics/golden && Rscript outcome.R ../../../../shared/data/aml_outcomes/clinical.tsv
# writes outcome.tsv. `synthetic` is outcome_patients.csv beside this file; `aml` is real, only numbers are written.
library(survival)
library(cmprsk)

rows <- list()
put <- function(table, quantity, value, time = NA, group = "") {
  rows[[length(rows) + 1]] <<- data.frame(table, quantity, group, time, value = sprintf("%.15g", value))
}

golden <- function(table, d, times, horizon) {
  for (g in c("", sort(unique(d$group)))) {
    p <- if (g == "") d else d[d$group == g, ]
    km <- summary(survfit(Surv(time, event > 0) ~ 1, p, conf.type = "log-log"), times = times, extend = TRUE)
    put(table, "km_estimate", km$surv, times, g)
    put(table, "km_lower", km$lower, times, g)
    put(table, "km_upper", km$upper, times, g)
    put(table, "km_variance", km$std.err^2, times, g)
    put(table, "at_risk", km$n.risk, times, g)
    inc <- timepoints(cuminc(p$time, p$event, cencode = 0), times)
    put(table, "incidence_estimate", inc$est["1 1", ], times, g)
    put(table, "incidence_variance", inc$var["1 1", ], times, g)
  }
  gray <- cuminc(d$time, d$event, d$group, cencode = 0)$Tests["1", ]
  logrank <- survdiff(Surv(time, event > 0) ~ group, d)
  put(table, "gray_statistic", gray["stat"])
  put(table, "gray_p_value", gray["pv"])
  put(table, "logrank_statistic", logrank$chisq)
  put(table, "logrank_p_value", pchisq(logrank$chisq, length(logrank$n) - 1, lower.tail = FALSE))
  # redistribution to the right: these weights are 1 / G(min(T, horizon)-)
  weight <- rttright(Surv(time, factor(event)) ~ 1, d, times = horizon)
  relapsed <- d$event == 1 & d$time <= horizon
  put(table, "weight_known", sum(weight > 0), horizon)
  put(table, "weight_largest", max(weight), horizon)
  put(table, "weight_squares", sum(weight^2), horizon)
  put(table, "weight_of_relapses", sum(weight[relapsed]), horizon)
}

golden("synthetic", read.csv("outcome_patients.csv"), c(0, 0.25, 1, 2.5, 4, 6), 3)

a <- read.delim(commandArgs(TRUE)[1], na.strings = c("", "NA"))
relapsed <- !is.na(a$Recurrence_date)
aml <- data.frame(
  time = ifelse(relapsed, a$Recurrence_date, a$Date_LF),
  event = ifelse(relapsed, 1, ifelse(a$Status == 1, 2, 0)),
  group = a$M_Risk
)
golden("aml", aml[!is.na(aml$group), ], c(100, 365, 730, 1826), 1096)
write.table(do.call(rbind, rows), "outcome.tsv", sep = "\t", quote = FALSE, row.names = FALSE)
