export { default } from './Alarms.vue';
