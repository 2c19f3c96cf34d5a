export { default } from "genba-ui/trend.js";
